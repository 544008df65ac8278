import pytest

from corpus_builder import CorpusError
from corpus_builder.build import BuildConfig, build
from corpus_builder.shards import read_rows
from corpus_builder.sources import Ravdess, Savee
from corpus_builder.transcripts import public_name
from hub_model.audio import Cleaning
from hub_model.transcription import make_transcriber
from hub_model.whisper_packages import OpenAIWhisperTranscriber
from tests.helpers.made_corpora import savee, write_clip
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


def by_corpus(out):
    splits = read_rows(out, "speaker_disjoint")
    rows = {row["utterance_id"]: row for split in splits.values() for row in split}
    return {
        name: {key: row for key, row in rows.items() if row["corpus"] == name}
        for name in ("ravdess", "savee")
    }


def test_what_the_corpus_does_not_tell_is_heard_once(roots, whisper, tmp_path, monkeypatch):
    out = tmp_path / "out"
    heard = []
    transcribe = OpenAIWhisperTranscriber.transcribe

    def count(self, waveforms):
        heard.append(len(waveforms))
        return transcribe(self, waveforms)

    monkeypatch.setattr(OpenAIWhisperTranscriber, "transcribe", count)
    build(roots, config(out, transcriber=whisper, target=30))
    rows = by_corpus(out)
    assert heard == [16]
    assert {row["transcript_source"] for row in rows["ravdess"].values()} == {"corpus"}
    assert {row["transcript_source"] for row in rows["savee"].values()} == {
        "openai-whisper:tiny.pt"
    }
    for row in rows["savee"].values():
        assert row["transcript"] == rows["savee"][row["source_id"]]["transcript"]
    before = {path.name: path.read_bytes() for path in out.rglob("*.parquet")}
    cached = sorted((out / ".transcripts").rglob("*.json"))
    assert len(cached) == 16
    cached[0].unlink()
    cached[1].write_text(cached[1].read_text()[:5])
    build(roots, config(out, transcriber=whisper, target=30))
    assert heard == [16, 2]
    assert {path.name: path.read_bytes() for path in out.rglob("*.parquet")} == before


def test_the_text_is_what_the_transcriber_hears_in_the_cleaned_clip(roots, whisper, tmp_path):
    build(roots, config(tmp_path / "out", transcriber=whisper))
    row = next(iter(by_corpus(tmp_path / "out")["savee"].values()))
    from datasets import Audio, load_dataset

    from hub_model.audio import load_audio

    for split in ("train", "validation", "test"):
        data = load_dataset(
            str(tmp_path / "out"), split=split, cache_dir=str(tmp_path / "cache")
        ).cast_column("audio", Audio(decode=False))
        for found in data:
            if found["utterance_id"] == row["utterance_id"]:
                waveform = load_audio(found["audio"])
    assert make_transcriber(whisper).transcribe([waveform])[0].text == row["transcript"]


def test_without_a_transcriber_there_is_no_text(roots, tmp_path):
    build(roots, config(tmp_path / "out"))
    for row in by_corpus(tmp_path / "out")["savee"].values():
        assert row["transcript"] is None and row["transcript_source"] is None
    assert not (tmp_path / "out" / ".transcripts").exists()


def test_a_transcriber_that_cannot_be_found_is_one_line(roots, tmp_path):
    with pytest.raises(CorpusError, match="--transcriber: openai-whisper:nothing: neither a file"):
        build(roots, config(tmp_path / "out", transcriber="openai-whisper:nothing"))


def test_a_public_name_tells_no_folder(tmp_path):
    assert public_name("openai-whisper:base.en") == "openai-whisper:base.en"
    assert public_name("openai/whisper-base") == "openai/whisper-base"
    assert public_name(str(tmp_path)) == tmp_path.name
