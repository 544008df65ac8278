import shutil

import pytest

from corpus_builder import CorpusError
from corpus_builder.sources import Ravdess, Rejected, Utterance


def read(root, **options):
    found = list(Ravdess(root, **options).read())
    return (
        [item for item in found if isinstance(item, Utterance)],
        [item for item in found if isinstance(item, Rejected)],
    )


def test_a_name_says_everything(tmp_path, write):
    write(tmp_path, ["03-01-05-02-01-02-12"])
    (utterance,), rejected = read(tmp_path)
    assert not rejected
    assert utterance == Utterance(
        utterance_id="ravdess-03-01-05-02-01-02-12",
        corpus="ravdess",
        path=tmp_path / "Actor_12" / "03-01-05-02-01-02-12.wav",
        source_label="angry",
        speaker_id="ravdess-12",
        gender="female",
        intensity="strong",
        sentence_id="ravdess-statement-01",
        transcript="Kids are talking by the door",
        fold=2,
    )


def test_the_other_codes(tmp_path, write):
    write(tmp_path, ["03-01-08-01-02-01-01"])
    (utterance,), _ = read(tmp_path)
    assert (utterance.source_label, utterance.gender) == ("surprised", "male")
    assert utterance.intensity == "normal"
    assert utterance.transcript == "Dogs are sitting by the door"


@pytest.mark.parametrize("suffix", [".wav", ".WAV", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("layout", ["", "Audio_Speech_Actors_01-24"])
def test_any_layout_and_extension(tmp_path, write, names, suffix, layout):
    write(tmp_path / layout, names([1], emotions=[2]), suffix=suffix)
    assert len(read(tmp_path)[0]) == 2


def test_a_pack_that_stores_the_set_twice_is_read_once(tmp_path, write, names):
    write(tmp_path, names([1, 2]))
    inner = tmp_path / "audio_speech_actors_01-24"
    for actor in ("Actor_01", "Actor_02"):
        shutil.copytree(tmp_path / actor, inner / actor)
    utterances, rejected = read(tmp_path)
    assert len(utterances) == 32 == len({utterance.utterance_id for utterance in utterances})
    assert len(rejected) == 32
    assert {item.reason for item in rejected} == {"repeated"}


def test_song_is_an_option(tmp_path, write, names):
    write(tmp_path, names([1], channel=1) + names([1], channel=2))
    assert len(read(tmp_path)[0]) == 16
    assert len(read(tmp_path, song=True)[0]) == 32


def test_song_alone_names_the_option(tmp_path, write, names):
    write(tmp_path, names([1], channel=2))
    with pytest.raises(CorpusError, match="16 sung clips and no speech .* --ravdess-song"):
        read(tmp_path)


def test_wrong_names_are_rejected_and_hidden_files_ignored(tmp_path, write):
    good = "03-01-05-01-01-01-01"
    write(tmp_path, [good, "03-01-09-01-01-01-01", "02-01-05-01-01-01-01", "my-clip-01"])
    (tmp_path / "Actor_01" / f"._{good}.wav").write_bytes(b"resource fork")
    utterances, rejected = read(tmp_path)
    assert [utterance.path.stem for utterance in utterances] == [good]
    reasons = {item.path.stem: item.detail for item in rejected}
    assert set(reasons) == {"03-01-09-01-01-01-01", "02-01-05-01-01-01-01", "my-clip-01"}
    assert "a code that RAVDESS does not use" in reasons["03-01-09-01-01-01-01"]


def test_a_wrong_folder_says_what_was_expected_and_found(tmp_path, write):
    with pytest.raises(CorpusError, match="no such folder"):
        Ravdess(tmp_path / "missing")
    with pytest.raises(CorpusError, match="expected files named like 03-01.*found no audio"):
        read(tmp_path)
    write(tmp_path, ["OAF_back_angry"])
    with pytest.raises(CorpusError, match="found 1 audio files of other names.*OAF_back_angry"):
        read(tmp_path)


def test_the_real_clips(real_ravdess):
    utterances, rejected = read(real_ravdess)
    assert (len(utterances), len(rejected)) == (1140, 0)
    assert len({utterance.speaker_id for utterance in utterances}) == 19
