import json
from dataclasses import replace

import pytest

from corpus_builder import CorpusError
from corpus_builder.__main__ import TRANSCRIBER, main
from corpus_builder.build import BuildConfig, build
from corpus_builder.shards import read_rows
from corpus_builder.sources import Ravdess, Savee
from corpus_builder.transcripts import public_name, word_error_rates
from hub_model.audio import Cleaning, load_audio
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.transcription import make_transcriber
from hub_model.whisper_packages import OpenAIWhisperTranscriber
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import load_splits
from tests.helpers.made_corpora import savee, write_clip
from tests.helpers.made_rows import clip
from tests.helpers.tiny_models import write_openai_whisper


@pytest.fixture(scope="module")
def roots(raw, tmp_path_factory):
    """RAVDESS, whose sentences are known, beside SAVEE, whose sentences are not."""
    root = tmp_path_factory.mktemp("savee")
    for name in savee({"a": 8, "h": 8}):
        write_clip(root / name)
    return [Ravdess(raw), Savee(root)]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    path = tmp_path_factory.mktemp("whisper") / "tiny.pt"
    write_openai_whisper(path)
    return f"openai-whisper:{path}"


def config(out, **settings):
    return BuildConfig(
        out=out, cleaning=Cleaning(denoise=False), configs=("speaker_disjoint",), **settings
    )


@pytest.fixture(scope="module")
def both(roots, whisper, tmp_path_factory):
    out = tmp_path_factory.mktemp("both") / "out"
    build(roots, config(out, transcripts="both", transcriber=whisper, target=30))
    return out


def by_corpus(out):
    splits = read_rows(out, "speaker_disjoint")
    rows = {row["utterance_id"]: row for split in splits.values() for row in split}
    return {
        name: {key: row for key, row in rows.items() if row["corpus"] == name}
        for name in ("ravdess", "savee")
    }


def test_recordings_are_transcribed_before_cleaning_as_in_the_pipeline(both, roots, whisper):
    rows = by_corpus(both)
    model = make_transcriber(whisper)
    for source in roots:
        (item, *_) = [item for item in source.read() if item.utterance_id in rows[source.name]]
        row = rows[source.name][item.utterance_id]
        assert row["transcript"] == item.transcript
        assert row["whisper_transcript"] == model.transcribe([load_audio(item.path)])[0].text
    for corpus in rows.values():  # a copy has the words of its source
        for row in corpus.values():
            assert row["whisper_transcript"] == corpus[row["source_id"]]["whisper_transcript"]
    assert {row["transcript"] for row in rows["savee"].values()} == {None}


def test_every_recording_is_transcribed_once(both, roots, whisper, monkeypatch):
    heard = []
    transcribe = OpenAIWhisperTranscriber.transcribe

    def count(self, waveforms):
        heard.append(len(waveforms))
        return transcribe(self, waveforms)

    monkeypatch.setattr(OpenAIWhisperTranscriber, "transcribe", count)
    before = {path.name: path.read_bytes() for path in both.rglob("*.parquet")}
    cached = sorted((both / ".transcripts").rglob("*.json"))
    assert len(cached) == 84 + 16
    cached[0].unlink()
    cached[1].write_text(cached[1].read_text()[:5])
    build(roots, config(both, transcripts="both", transcriber=whisper, target=30))
    assert sum(heard) == 2
    assert {path.name: path.read_bytes() for path in both.rglob("*.parquet")} == before


def test_training_chooses_the_text(both, corpus):
    def texts(kind, data=both):
        train = load_splits(TrainConfig(data=str(data), transcripts=kind))["train"]
        return dict(zip(train["utterance_id"], train["transcript"], strict=True))

    rows = {key: row for part in by_corpus(both).values() for key, row in part.items()}
    known, heard, either = (texts(kind) for kind in ("known", "whisper", "any"))
    for name in known:
        assert known[name] == rows[name]["transcript"]
        assert heard[name] == rows[name]["whisper_transcript"]
        assert either[name] == (known[name] or heard[name])
    with pytest.raises(ConfigError, match="--transcripts whisper"):
        texts("whisper", corpus)


def test_word_errors_are_counted_by_corpus_without_case_and_punctuation():
    texts = [("Dogs sit by the door", "dogs sit, by a door."), ("Kids", None), (None, "well")]
    clips = [
        replace(
            clip("savee", 1, "male", "sad", take), transcript=known, whisper_transcript=recognised
        )
        for take, (known, recognised) in enumerate(texts)
    ]
    (rates,) = word_error_rates(clips).values()
    assert rates == {"rate": pytest.approx(2 / 6), "words": 6, "clips": 2, "silent": 1}


def test_a_build_reports_the_word_errors(both, capsys):
    rates = json.loads((both / "build.json").read_text())["word_error_rates"]
    assert set(rates) == {"ravdess"} and rates["ravdess"]["clips"] == 84
    main(["stats", str(both)])
    assert "words of openai-whisper:tiny.pt in ravdess" in capsys.readouterr().out


def test_only_the_words_of_the_transcriber(roots, whisper, tmp_path):
    build(roots, config(tmp_path / "out", transcripts="whisper", transcriber=whisper))
    rows = by_corpus(tmp_path / "out")
    assert {row["transcript"] for part in rows.values() for row in part.values()} == {None}


def test_without_a_transcriber_there_is_only_the_text_of_the_corpus(corpus):
    rows = [row for part in read_rows(corpus, "natural").values() for row in part]
    assert all(row["transcript"] and row["whisper_transcript"] is None for row in rows)
    assert not (corpus / ".transcripts").exists()


def test_the_default_transcriber_is_that_of_a_model():
    assert HubertBertConfig().transcriber == TRANSCRIBER


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transcripts": "whisper"}, "needs a --transcriber"),
        ({"transcriber": "openai-whisper:base.en"}, "needs no --transcriber"),
        ({"transcripts": "heard"}, "must be known, whisper, both"),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(settings, message, tmp_path):
    with pytest.raises(CorpusError, match=message):
        config(tmp_path / "out", **settings)


def test_a_transcriber_that_cannot_be_found_is_one_line(roots, tmp_path):
    with pytest.raises(CorpusError, match="--transcriber: openai-whisper:nothing: neither a file"):
        build(
            roots,
            config(tmp_path / "out", transcripts="both", transcriber="openai-whisper:nothing"),
        )


def test_a_public_name_tells_no_folder(tmp_path):
    assert public_name("openai-whisper:base.en") == "openai-whisper:base.en"
    assert public_name("openai/whisper-base") == "openai/whisper-base"
    assert public_name(str(tmp_path)) == tmp_path.name
