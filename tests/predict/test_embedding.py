"""``speech-emotion embed``: the vectors that the model pools, in parquet and npz."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from speech_emotion.cli.main import main
from speech_emotion.predict.embedding import cut, embed, fingerprint
from tests.helpers.refusals import refusal
from tests.helpers.sounds import CLIPS, encode, tone, voice
from tests.helpers.tiny_models import tiny_pipeline


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, clip in zip(("a.wav", "b.wav"), CLIPS, strict=False):
        (folder / name).write_bytes(encode(clip))
    (folder / "bad.wav").write_bytes(b"no audio")
    gap = tone(440, 6) * 0
    (folder / "long.wav").write_bytes(encode(np.concatenate([voice(5), gap, voice(5)])))
    (folder / "table.csv").write_text("path,transcript,speaker\na.wav,leave me,ann\nb.wav,,ben\n")
    return folder


@pytest.fixture
def run(model_folder, capsys):
    """Run the command in this process: exit code, and lines of stderr."""

    def run(*arguments, model=model_folder):
        code = main(["embed", *map(str, arguments), "--model", str(model), "-q"])
        return code, capsys.readouterr().err.splitlines()

    return run


def vectors_of(classifier, waveform: np.ndarray, text: str | None = None) -> dict:
    """What the model pools from a clip that fits one chunk."""
    clip = classifier.preprocess(waveform)
    with torch.no_grad():
        output = classifier.model(**classifier.processor(audio=clip.chunks, text=[text]))
    return {"audio": output.audio_embedding[0].numpy(), "text": output.text_embedding[0].numpy()}


def test_files_to_parquet(run, clips, tmp_path, classifier):
    out = tmp_path / "new" / "vectors.parquet"
    code, errors = run(clips / "a.wav", clips / "bad.wav", clips / "b.wav", "--out", out)
    assert code == 1 and len(errors) == 1 and "bad.wav: not an audio file" in errors[0]
    table = pq.read_table(out)
    assert table.column_names == ["path", "label", "transcript", "score", "audio"]
    assert table["path"].to_pylist() == [str(clips / "a.wav"), str(clips / "b.wav")]
    for row, path in zip(table.to_pylist(), ("a.wav", "b.wav"), strict=True):
        (best,) = classifier(str(clips / path), top_k=1)
        assert row["label"] == best["label"] and row["score"] == pytest.approx(best["score"])
        expected = vectors_of(classifier, str(clips / path))["audio"]
        np.testing.assert_allclose(row["audio"], expected, atol=1e-5)
    facts = table.schema.metadata
    assert facts[b"fingerprint"].decode() == fingerprint(classifier)


def test_a_table_with_transcripts_to_npz(run, clips, tmp_path, classifier):
    out = tmp_path / "vectors.npz"
    assert run(clips / "table.csv", "--out", out) == (0, [])
    with np.load(out) as file:
        arrays = dict(file)
    assert arrays["speaker"].tolist() == ["ann", "ben"]
    assert arrays["transcript"].tolist() == ["leave me", ""]
    expected = vectors_of(classifier, str(clips / "a.wav"), "leave me")
    np.testing.assert_allclose(arrays["audio"][0], expected["audio"], atol=1e-5)
    np.testing.assert_allclose(arrays["text"][0], expected["text"], atol=1e-5)
    assert np.isnan(arrays["text"][1]).all()
    assert json.loads(str(arrays["facts"]))["fingerprint"] == fingerprint(classifier)


def test_segments(run, clips, tmp_path, classifier):
    out = tmp_path / "vectors.parquet"
    assert run(clips / "long.wav", "--segments", "--out", out) == (0, [])
    rows = pq.read_table(out).to_pylist()
    segments = classifier(str(clips / "long.wav"), return_segments=True)["segments"]
    spoken = [part for part in segments if part["label"] != "no speech"]
    assert len(spoken) < len(segments)
    whole = np.concatenate(list(cut(str(clips / "long.wav"), [{"start": 0, "end": 16}])))
    parts = [whole[round(s["start"] * 16000) : round(s["end"] * 16000)] for s in spoken]
    loud = [place for place, part in enumerate(parts) if np.ptp(part) > 0.01]
    assert [(r["start"], r["end"], r["label"], r["score"]) for r in rows] == [
        tuple(spoken[place][key] for key in ("start", "end", "label", "score")) for place in loud
    ]
    for row, part in zip(rows, [parts[place] for place in loud], strict=True):
        expected = vectors_of(classifier, part)["audio"]
        np.testing.assert_allclose(row["audio"], expected, atol=1e-5)


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_a_run_goes_on_where_it_stopped(run, clips, tmp_path, suffix, capsys, model_folder):
    out, whole = tmp_path / f"part.{suffix}", tmp_path / f"whole.{suffix}"
    table = (clips / "table.csv").read_text().splitlines()
    (clips / "first.csv").write_text("\n".join(table[:2]))
    assert run(clips / "first.csv", "--out", out) == (0, [])
    arguments = ["embed", str(clips / "table.csv"), "--model", str(model_folder)]
    assert "--resume" in refusal(capsys, main, [*arguments, "--out", str(out)])
    assert run(clips / "table.csv", "--out", out, "--resume") == (0, [])
    assert run(clips / "table.csv", "--out", whole) == (0, [])
    if suffix == "parquet":
        assert pq.read_table(out).equals(pq.read_table(whole))
    else:
        with np.load(out) as found, np.load(whole) as expected:
            assert list(found) == list(expected)
            for name in found:
                np.testing.assert_array_equal(found[name], expected[name])
    refused = refusal(capsys, main, [*arguments, "--out", str(out), "--resume", "--segments"])
    assert "another model or kind" in refused


def test_a_long_clip_has_the_mean_of_its_chunks(classifier):
    found = embed(classifier, voice(16), text="")
    clip = classifier.preprocess(voice(16))
    assert len(clip.chunks) > 1
    with torch.no_grad():
        chunks = [
            classifier.model(**classifier.processor(audio=[chunk])).audio_embedding[0].numpy()
            for chunk in clip.chunks
        ]
    np.testing.assert_allclose(found["audio"], np.mean(chunks, axis=0), atol=1e-5)
    assert found["text"] is None


def test_the_fingerprint_follows_the_weights_and_not_the_temperature():
    first, same, other = tiny_pipeline(), tiny_pipeline(), tiny_pipeline(seed=1)
    same.model.config.temperature = 2.0
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)
    same.model.config.window_s = 3.0
    assert fingerprint(first) != fingerprint(same)


def test_bad_options_are_one_line(clips, tmp_path, capsys, model_folder):
    start = ["embed", str(clips / "a.wav"), "--model", str(model_folder), "--out"]
    assert ".npz" in refusal(capsys, main, [*start, str(tmp_path / "x.csv")])
    assert "--segments" in refusal(capsys, main, [*start, "x.npz", "--hop-s", "1"])
    (tmp_path / "x.npz").write_bytes(b"junk")
    assert "x.npz" in refusal(capsys, main, [*start, str(tmp_path / "x.npz"), "--resume"])
