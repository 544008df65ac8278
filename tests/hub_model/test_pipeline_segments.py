"""Long recordings in the pipeline: windows, segments, what is no speech, memory."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE
from hub_model.labels import EMOTIONS
from tests.helpers.answers import load, same
from tests.helpers.sounds import encode, noise, voice

ROOT = Path(__file__).parents[2]


def recording() -> np.ndarray:
    """11 s of a voice, 9 s of hiss, 8 s of silence, 7.3 s of another voice."""
    parts = [voice(11), noise(9) * 0.1, np.zeros(8 * SAMPLING_RATE), voice(7.3, pitch=230, seed=1)]
    return (0.5 * np.concatenate(parts)).astype(np.float32)  # a file would clip what is louder


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "call.flac"
    path.write_bytes(encode(recording(), format="FLAC", subtype="PCM_24"))
    return path


@pytest.fixture(scope="module")
def row(classifier, path):
    return classifier(path, return_segments=True)


def test_a_window_is_answered_as_a_clip_of_its_own(classifier, path):
    found = classifier(path, return_segments=True, smoothing=1)
    samples, _ = soundfile.read(path, dtype="float32")
    for window in found["windows"]:
        start, end = (round(window[name] * SAMPLING_RATE) for name in ("start", "end"))
        if window["scores"] is not None:
            expected = classifier(samples[start:end])
            same([{"label": k, "score": v} for k, v in by_score(window["scores"])], expected)
            assert window["label"] == expected[0]["label"]
            assert window["score"] == max(window["scores"].values())


def by_score(scores: dict[str, float]):
    return sorted(scores.items(), key=lambda item: -item[1])


def test_where_nobody_speaks_there_is_no_emotion(row):
    silent = [window for window in row["windows"] if window["label"] == "no speech"]
    for window in row["windows"]:
        # Between 11 s and 28 s there is hiss and silence.
        inside = window["start"] >= 11 and window["end"] <= 28
        assert (window in silent) == inside
        assert (window["scores"] is None) == (window["score"] is None) == inside
    (gap,) = [segment for segment in row["segments"] if segment["label"] == "no speech"]
    assert 11 <= gap["start"] < gap["end"] <= 28 and gap["score"] is None


def test_segments_tile_the_recording(row):
    segments = row["segments"]
    assert row["seconds"] == 35.3
    assert segments[0]["start"] == 0 and segments[-1]["end"] == 35.3
    for one, other in itertools.pairwise(segments):
        assert one["end"] == other["start"]
        assert one["label"] != other["label"]
    assert row["windows"][-1]["end"] == 35.3


def test_the_whole_is_the_mean_of_the_windows(classifier, path, row):
    spoken = classifier(path, return_segments=True, smoothing=1)["windows"]
    logits = [
        np.log([window["scores"][k] for k in EMOTIONS]) for window in spoken if window["scores"]
    ]
    mean = np.exp(np.mean(logits, axis=0))
    expected = dict(zip(EMOTIONS, mean / mean.sum(), strict=True))
    assert {e["label"]: e["score"] for e in row["emotions"]} == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 0), (32, 0), (3, 2)])
def test_nothing_depends_on_batches_or_workers(classifier, tmp_path, batch_size, workers):
    path = tmp_path / "long.wav"
    path.write_bytes(encode(np.concatenate([recording()] * 2)))  # long enough for workers
    expected = classifier(path, return_segments=True, batch_size=8, clean=False)
    options = {"batch_size": batch_size, "num_workers": workers, "clean": False}
    found = classifier(path, return_segments=True, **options)
    assert len(found["windows"]) == len(expected["windows"])
    for one, other in zip(found["windows"], expected["windows"], strict=True):
        assert (one["start"], one["label"]) == (other["start"], other["label"])
        assert one["scores"] == (other["scores"] and pytest.approx(other["scores"], abs=1e-4))


def test_every_kind_of_source(classifier, path, row):
    for source in (str(path), path.read_bytes(), recording(), (SAMPLING_RATE, recording())):
        found = classifier(source, return_segments=True)
        for window, expected in zip(found["windows"], row["windows"], strict=True):
            assert (window["start"], window["end"]) == (expected["start"], expected["end"])
            assert window["scores"] == pytest.approx(expected["scores"], abs=1e-3)


def test_rows_of_many_with_their_errors(classifier, path, row):
    rows = classifier([path, "missing.wav", voice(0.8)], return_segments=True)
    assert rows[0]["segments"] == row["segments"]
    assert rows[1] == {"error": "missing.wav: no such file"}
    assert len(rows[2]["windows"]) == 1 and rows[2]["seconds"] == 0.8
    with pytest.raises(ValueError, match="no such file"):
        classifier("missing.wav", return_segments=True)


@pytest.mark.parametrize("sound", [noise(9), np.zeros(9 * SAMPLING_RATE, dtype=np.float32)])
def test_a_recording_without_speech_is_a_row(classifier, sound):
    found = classifier(sound, return_segments=True, abstain_below=0.1, contributions=True)
    assert [s["label"] for s in found["segments"]] == ["no speech"]
    assert found["emotions"] == [] and found["note"] == "no speech was found"
    assert found["label"] is None and found["contributions"] is None
    asked = classifier(noise(9), return_segments=True, check_speech=False)
    assert "no speech" not in {window["label"] for window in asked["windows"]}


def test_other_options_hold_for_every_window(classifier, path):
    found = classifier(
        path, return_segments=True, labels="valence", abstain_below=1.0, window_s=2, hop_s=1
    )
    assert {segment["label"] for segment in found["segments"]} == {None, "no speech"}
    assert found["windows"][1]["start"] == 1 and found["windows"][1]["end"] == 3
    assert set(found["windows"][0]["scores"]) == {"positive", "neutral", "negative"}


def test_words_are_not_shared_out(classifier, path, row):
    with pytest.raises(ValueError, match="^text: "):
        classifier(path, return_segments=True, text="leave me")
    silent = classifier(path, return_segments=True, text="")
    assert silent["note"] == "no words were given" and silent["modalities"] == ["audio"]


def test_only_speech_is_transcribed(model_folder, path, transformers_whisper, monkeypatch):
    listening = load(model_folder, transcriber=str(transformers_whisper))
    heard = []
    transcribe = listening.transcriber.transcribe_words

    def listen(speech):
        heard.append(speech.copy())
        return transcribe(speech)

    monkeypatch.setattr(listening.transcriber, "transcribe_words", listen)
    found = listening(path, return_segments=True, clean=False)
    (chunk,) = heard
    samples, _ = soundfile.read(path, dtype="float32")
    spoken = np.concatenate([samples[: 11 * SAMPLING_RATE], samples[28 * SAMPLING_RATE :]])
    assert abs(chunk.size - spoken.size) < SAMPLING_RATE
    assert np.isin(chunk, spoken).mean() > 0.95
    assert found["modalities"] == ["audio", "text"] and found["words"]
    assert found["transcript"] == transcribe(chunk).text


MEMORY = """
import json, resource, sys
from tests.helpers.tiny_models import tiny_pipeline
pipe = tiny_pipeline()
peaks = []
for path in sys.argv[1:]:
    row = pipe(path, return_segments=True, window_s=10, hop_s=10, batch_size=2)
    peaks.append([row["seconds"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024])
print(json.dumps(peaks))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path):
    """10 minutes more would be 40 MB of samples and as much again once cleaned; the libraries'
    caches for inputs of other lengths are all that may grow, up to a limit."""
    block = np.round(recording() * 20000).astype(np.int16)
    for name, repeats in (("short", 4), ("long", 22)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", SAMPLING_RATE, 1) as file:
            for _ in range(repeats):
                file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "short.wav", tmp_path / "long.wav"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (short, before), (long, after) = json.loads(done.stdout.splitlines()[-1])
    assert long - short > 600
    assert after - before < 60


@pytest.mark.parametrize("workers", [0, 2])
def test_notes_on_the_file_stand_in_a_timeline_as_well(model_folder, tmp_path, workers):
    sound = voice(70.0)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -0.9 * sound], 1), SAMPLING_RATE)
    classifier = load(model_folder)
    asked = {"return_segments": True, "hop_s": 4.0, "num_workers": workers}
    note = classifier(tmp_path / "a.wav", **asked)["note"]
    assert "its channels cancel each other" in note
    assert note == classifier(tmp_path / "a.wav", return_transcript=True)["note"]
    assert "cancel" not in classifier(sound, **asked)["note"]
