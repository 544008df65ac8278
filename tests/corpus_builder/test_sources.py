"""The readers other than RAVDESS's, on made files in the corpora's published layouts."""

import os
import shutil
from pathlib import Path

import pytest

from corpus_builder import CorpusError
from corpus_builder.labels import VOTE_CLASSES, read_label_map
from corpus_builder.sources import (
    SOURCES,
    CremaD,
    Iemocap,
    Nemo,
    Ravdess,
    Rejected,
    Savee,
    TableSource,
    Tess,
    Utterance,
)
from tests.helpers.made_corpora import write_clip, write_iemocap

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TESS, NEMO = DATA / "TESS", DATA / "nEMO"


def read(source):
    found = list(source.read())
    utterances = {item.utterance_id: item for item in found if isinstance(item, Utterance)}
    rejected = [item for item in found if isinstance(item, Rejected)]
    assert len(utterances) + len(rejected) == len(found)
    return utterances, rejected


def write(root, *names):
    for name in names:
        write_clip(root / name)
    return root


def test_tess_reads_both_folder_spellings_and_the_typo(tmp_path):
    write(
        tmp_path,
        "OAF_Fear/OAF_back_fear.wav",
        "YAF_fear/YAF_back_fear.flac",
        "OAF_Pleasant_surprise/OAF_bar_ps.wav",
        "OA_neutral/OA_bite_neutral.wav",
    )
    utterances, rejected = read(Tess(tmp_path))
    assert not rejected
    assert {name: (u.speaker_id, u.source_label) for name, u in utterances.items()} == {
        "tess-OAF_back_fear": ("tess-OAF", "fear"),
        "tess-YAF_back_fear": ("tess-YAF", "fear"),
        "tess-OAF_bar_ps": ("tess-OAF", "ps"),
        "tess-OAF_bite_neutral": ("tess-OAF", "neutral"),
    }
    one, other = utterances["tess-OAF_back_fear"], utterances["tess-YAF_back_fear"]
    assert (one.fold, one.age, one.gender) == (0, 64, "female")
    assert (other.fold, other.age) == (1, 26)
    assert one.transcript == "Say the word back" and one.sentence_id == other.sentence_id
    assert Tess(tmp_path).harmonise("ps") == "surprised"
    assert Tess(tmp_path).harmonise("neutral") is None


def test_a_tess_pack_that_stores_the_set_twice_is_read_once(tmp_path):
    write(tmp_path / "a", "OAF_fear/OAF_back_fear.wav")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    utterances, rejected = read(Tess(tmp_path))
    assert len(utterances) == 1
    assert [(item.reason, item.detail) for item in rejected] == [
        ("repeated", "same clip as a/OAF_fear/OAF_back_fear.wav")
    ]


def test_the_real_tess():
    if not TESS.is_dir():
        pytest.skip("the real TESS clips are not here")
    utterances, rejected = read(Tess(TESS))
    assert (len(utterances), rejected) == (1400, [])
    assert {u.speaker_id for u in utterances.values()} == {"tess-OAF", "tess-YAF"}
    assert sum(u.source_label == "neutral" for u in utterances.values()) == 200


@pytest.mark.parametrize("layout", ["AudioData/DC/su07.wav", "ALL/DC_su07.wav"])
def test_savee_reads_both_layouts(tmp_path, layout):
    write(tmp_path, layout, f"{Path(layout).parent}/Info.wav")
    utterances, rejected = read(Savee(tmp_path))
    (utterance,) = utterances.values()
    assert utterance == Utterance(
        utterance_id="savee-DC_su07",
        corpus="savee",
        path=tmp_path / layout,
        source_label="su",
        speaker_id="savee-DC",
        gender="male",
        sentence_id="savee-su07",
        fold=0,
    )
    assert [(item.reason, item.path.name) for item in rejected] == [("name", "Info.wav")]


def test_a_savee_name_without_a_speaker_is_rejected(tmp_path):
    write(tmp_path, "DC/a01.wav", "somewhere/a02.wav")
    assert [item.path.name for item in read(Savee(tmp_path))[1]] == ["a02.wav"]


def test_nemo_reads_names_and_its_table(tmp_path):
    write(tmp_path, "samples/WR0_surprised_64.wav", "samples/EB0_neutral_64.wav", "samples/x.wav")
    (tmp_path / "data.tsv").write_text(
        "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
        'WR0_surprised_64.wav\tsurprised\tUcho, wykrywa "dźwięki".\tucho\tWR0\tmale\t23\n'
    )
    utterances, rejected = read(Nemo(tmp_path / "samples"))
    assert [item.reason for item in rejected] == ["name"]
    one, other = utterances["nemo-WR0_surprised_64"], utterances["nemo-EB0_neutral_64"]
    assert (one.transcript, one.gender, one.age) == ('Ucho, wykrywa "dźwięki".', "male", 23)
    assert (one.speaker_id, one.sentence_id, one.fold) == ("nemo-WR0", "nemo-64", 1)
    assert (other.transcript, other.gender, other.age, other.fold) == (None, None, None, 0)
    assert one.sentence_id == other.sentence_id


@pytest.mark.skipif(not NEMO.exists(), reason="nEMO is not here")
def test_the_real_nemo():
    utterances, rejected = read(Nemo(NEMO))
    assert not rejected and len(utterances) == 3403
    assert all(u.transcript and u.gender and u.age for u in utterances.values())
    assert {u.fold for u in utterances.values()} == set(range(7))


def crema_d(root, *, votes):
    write(root, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_IEO_SAD_HI.wav")
    (root / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n'
        '1001,51,"Male","Caucasian","Not Hispanic"\n1002,21,"Female","Caucasian","Not Hispanic"\n'
    )
    (root / "processedResults").mkdir()
    for name, text in votes.items():
        (root / "processedResults" / name).write_text(text)
    return root


SUMMARY = (
    '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel"\n'
    '"62","1001_DFA_ANG_XX","A:D","47.33:50.1","A","41.8"\n'
    '"89","1002_IEO_SAD_HI","N","51.5","N","68.89"\n'
)
TABULATED = (
    '"","A","D","F","H","N","S","fileName","numResponses"\n'
    '"100062",6,2,0,0,2,0,"1001_DFA_ANG_XX",10\n'
    '"200062",0,9,0,0,0,0,"1001_DFA_ANG_XX",9\n'
)


def shares(utterance):
    return {n: v for n, v in zip(VOTE_CLASSES, utterance.votes, strict=True) if v}


def test_crema_d_reads_names_demographics_and_votes(tmp_path):
    utterances, rejected = read(CremaD(crema_d(tmp_path, votes={"summaryTable.csv": SUMMARY})))
    assert not rejected
    one, other = utterances["crema_d-1001_DFA_ANG_XX"], utterances["crema_d-1002_IEO_SAD_HI"]
    assert (one.gender, one.age, one.intensity) == ("male", 51, None)
    assert (other.gender, other.age, other.intensity) == ("female", 21, "high")
    assert one.transcript == "Don't forget a jacket"
    assert shares(one) == {"angry": 0.5, "disgust": 0.5}
    assert shares(other) == {"neutral": 1.0}
    assert CremaD(tmp_path).harmonise("ANG") == "angry"


def test_counted_votes_are_preferred_and_those_on_the_face_ignored(tmp_path):
    votes = {"summaryTable.csv": SUMMARY, "tabulatedVotes.csv": TABULATED}
    utterances, _ = read(CremaD(crema_d(tmp_path, votes=votes)))
    one = utterances["crema_d-1001_DFA_ANG_XX"]
    assert shares(one) == {"angry": 0.6, "disgust": 0.2, "neutral": 0.2}


def test_crema_d_tables_may_lie_above_the_clips_or_be_absent(tmp_path):
    crema_d(tmp_path, votes={"summaryTable.csv": SUMMARY})
    utterances, _ = read(CremaD(tmp_path / "AudioWAV"))
    assert utterances["crema_d-1001_DFA_ANG_XX"].votes is not None
    (tmp_path / "VideoDemographics.csv").unlink()
    shutil.rmtree(tmp_path / "processedResults")
    utterances, _ = read(CremaD(tmp_path))
    one = utterances["crema_d-1001_DFA_ANG_XX"]
    assert (one.gender, one.age, one.votes) == (None, None, None)


def test_a_broken_crema_d_table_is_named(tmp_path):
    crema_d(tmp_path, votes={"summaryTable.csv": "a,b\n1,2\n"})
    with pytest.raises(CorpusError, match=r"summaryTable.csv: .* FileName, VoiceVote; found a, b"):
        read(CremaD(tmp_path))


def test_iemocap_reads_labels_dimensions_and_text(tmp_path):
    write_iemocap(tmp_path, {"ang": 20, "exc": 20, "hap": 20})
    utterances, rejected = read(Iemocap(tmp_path))
    assert (len(utterances), rejected) == (60, [])
    one = utterances["iemocap-Ses01F_impro00_M001"]
    assert (one.speaker_id, one.gender, one.session, one.fold) == (
        "iemocap-Ses01M",
        "male",
        "Session1",
        0,
    )
    assert (one.valence, one.activation, one.dominance) == (2.5, 3.0, 3.5)
    assert one.transcript == "Turn number 1." and one.sentence_id is None
    assert sum(u.source_label == "exc" for u in utterances.values()) == 20


def test_excited_is_dropped_unless_it_is_read_as_happy(tmp_path):
    assert Iemocap(tmp_path).harmonise("exc") is None
    assert Iemocap(tmp_path, excited=True).harmonise("exc") == "happy"
    assert [Iemocap(tmp_path).harmonise(label) for label in ("xxx", "fru", "oth", "neu")] == [
        None
    ] * 4
    assert Iemocap(tmp_path).harmonise("neu", labels=VOTE_CLASSES) == "neutral"


def test_iemocap_says_what_has_no_label_or_no_audio(tmp_path):
    write_iemocap(tmp_path, {"ang": 3})
    folder = tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro00"
    (folder / "Ses01F_impro00_F000.wav").unlink()
    write(folder, "Ses01F_impro00_F999.wav", "notes.wav")
    write(tmp_path, "Session1/dialog/wav/Ses01F_impro00.wav")
    utterances, rejected = read(Iemocap(tmp_path))
    assert len(utterances) == 2
    assert {item.path.name: item.reason for item in rejected} == {
        "Ses01F_impro00_F999.wav": "label",
        "notes.wav": "name",
        "Ses01F_impro00_F000.wav": "missing",
    }


def test_iemocap_scripts_are_one_sentence_in_every_session(tmp_path):
    names = ("Ses01F_script01_1_F000", "Ses02M_script01_1_M003")
    for name in names:
        session = tmp_path / f"Session{name[4]}"
        write_clip(session / "sentences" / "wav" / name[:-5] / f"{name}.wav")
        folder = session / "dialog" / "EmoEvaluation"
        folder.mkdir(parents=True)
        line = f"[1.0000 - 2.0000]\t{name}\tang\t[1.0000, 2.0000, 3.0000]\n"
        (folder / f"{name[:-5]}.txt").write_text(line)
        (folder / "Attribute").mkdir()
    utterances, _ = read(Iemocap(tmp_path))
    assert {u.sentence_id for u in utterances.values()} == {"iemocap-script01_1"}


def table(root, text):
    path = root / "clips.csv"
    path.write_text(text)
    return path


def test_csv_reads_anybodys_recordings(tmp_path):
    write(tmp_path, "wav/one.wav", "two.flac")
    text = (
        "path,emotion,speaker,gender,transcript,age,fold\n"
        "wav/one.wav,Happiness,anna,F,Hello there,31,2\ntwo.flac,calm,ben,,,,\n"
    )
    utterances, rejected = read(TableSource(table(tmp_path, text)))
    assert not rejected
    one, two = utterances["csv-wav--one.wav"], utterances["csv-two.flac"]
    assert (one.source_label, one.speaker_id, one.gender) == ("Happiness", "csv-anna", "female")
    assert (one.transcript, one.age, one.fold) == ("Hello there", 31, 2)
    assert (two.gender, two.transcript, two.age, two.fold) == (None,) * 4
    assert TableSource(tmp_path).harmonise("happiness") == "happy"


def test_csv_says_what_is_wrong_with_a_line(tmp_path):
    write(tmp_path, "a.wav")
    text = (
        "path,emotion,speaker\na.wav,angry,x\na.wav,angry,x\nb.wav,angry,x\na.wav,bored,x\n"
        "a.wav,angry,\n../c.wav,angry,x\n"
    )
    utterances, rejected = read(TableSource(table(tmp_path, text)))
    assert len(utterances) == 1
    reasons = [item.reason for item in rejected]
    assert reasons == ["repeated", "missing", "label", "label", "missing"]
    assert "line 5: emotion 'bored' is none of" in rejected[2].detail


def test_csv_with_words_of_its_own(tmp_path):
    write(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    text = (
        "Path;Emotion;Speaker\na.wav;FRUSTRATED;x\nb.wav;Interested;x\nc.wav;fear;x\n"
        "d.wav;other;y\n"
    )
    words = read_label_map(["frustrated=annoyed", "Other="])
    labels = ("annoyed", "interested", "Fear")
    source = TableSource(table(tmp_path, text), labels=labels, words=words)
    utterances, rejected = read(source)
    found = {
        u.source_label: source.harmonise(u.source_label, labels=labels) for u in utterances.values()
    }
    assert found == {"FRUSTRATED": "annoyed", "Interested": "interested", "fear": "Fear"}
    assert [(item.label, item.reason) for item in rejected] == [("other", "label")]
    assert source.options() == {"words": {"frustrated": "annoyed", "other": None}}


def test_csv_with_recordings_in_other_folders(tmp_path):
    write(tmp_path, "store/a.wav", "lists/b.wav")
    os.symlink(tmp_path / "store", tmp_path / "lists" / "linked")
    text = (
        f"path,emotion,speaker\n{tmp_path}/store/a.wav,sad,x\n../lists/b.wav,sad,x\n"
        "linked/a.wav,sad,x\n"
    )
    utterances, rejected = read(TableSource(table(tmp_path / "lists", text)))
    assert not rejected
    assert sorted(utterances) == [
        "csv-lists--b.wav",
        "csv-lists--linked--a.wav",
        "csv-store--a.wav",
    ]


def test_linked_folders_are_read_once(tmp_path):
    write(tmp_path, "store/03-01-05-01-01-01-02.wav", "set/Actor_01/03-01-05-01-01-01-01.wav")
    os.symlink(tmp_path / "store", tmp_path / "set" / "Actor_02")
    os.symlink(tmp_path / "set", tmp_path / "set" / "again")
    utterances, rejected = read(Ravdess(tmp_path / "set"))
    assert {u.speaker_id for u in utterances.values()} == {"ravdess-01", "ravdess-02"}
    assert not rejected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("file,label\n", "expected the columns path, emotion, speaker; found file, label"),
        ("", "found nothing"),
    ],
)
def test_a_table_of_other_columns_is_refused(tmp_path, text, line):
    with pytest.raises(CorpusError, match=line):
        read(TableSource(table(tmp_path, text)))


@pytest.mark.parametrize("source", SOURCES.values())
def test_a_wrong_folder_says_what_was_expected_and_found(tmp_path, source):
    with pytest.raises(CorpusError, match="no such"):
        read(source(tmp_path / "missing"))
    write(tmp_path, "holiday.wav")
    with pytest.raises(CorpusError, match=r"expected .*(found 1 audio|found 0)"):
        read(source(tmp_path))


def test_ravdess_has_its_published_folds(tmp_path):
    write(tmp_path, *(f"03-01-05-01-01-01-{actor:02d}.wav" for actor in range(1, 25)))
    utterances, _ = read(Ravdess(tmp_path))
    folds = {}
    for utterance in utterances.values():
        folds.setdefault(utterance.fold, []).append(int(utterance.speaker_id[-2:]))
    assert folds == {
        0: [2, 5, 14, 15, 16],
        1: [3, 6, 7, 13, 18],
        2: [10, 11, 12, 19, 20],
        3: [8, 17, 21, 23, 24],
        4: [1, 4, 9, 22],
    }
