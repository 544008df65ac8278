"""``pipeline("audio-classification", ...)`` from a model folder."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers.pipelines.pt_utils import KeyDataset

import hub_model
from hub_model.audio import SAMPLING_RATE, clean_audio, load_audio
from hub_model.labels import EMOTIONS
from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, TEXTS, encode, tone

CLIP = CLIPS[1]


# The answer.


def test_seven_labels_sorted_and_summing_to_one(classifier):
    row = classifier(CLIP)
    assert {entry["label"] for entry in row} == set(EMOTIONS)
    scores = [entry["score"] for entry in row]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    assert all(sorted(entry) == ["label", "score"] for entry in row)
    assert scores[0] - scores[-1] > 0.01


def test_the_scores_are_the_softmax_of_the_model(classifier):
    waveform = clean_audio(CLIP)
    with torch.no_grad():
        inputs = classifier.processor(audio=[waveform], text=["leave me"])
        scores = classifier.model(**inputs).logits.softmax(-1)[0]
    expected = sorted(zip(scores.tolist(), EMOTIONS, strict=True), reverse=True)
    row = classifier(CLIP, text="leave me")
    same(row, [{"label": label, "score": score} for score, label in expected], atol=1e-6)


def test_temperature_moves_confidence_and_no_answer(classifier, monkeypatch):
    before = classifier(tone())
    monkeypatch.setattr(classifier.model.config, "temperature", 4.0)
    after = classifier(tone())
    assert [row["label"] for row in before] == [row["label"] for row in after]
    ratio = {  # log-odds of neighbours are divided by the temperature
        name: np.log(rows[0]["score"] / rows[-1]["score"])
        for name, rows in (("before", before), ("after", after))
    }
    assert ratio["after"] == pytest.approx(ratio["before"] / 4, rel=1e-3)


def test_the_same_clip_gets_the_same_answer_twice(classifier):
    assert classifier(CLIP) == classifier(CLIP)


def test_a_clip_is_cleaned_unless_it_already_is(classifier):
    padded = np.concatenate([np.zeros(16_000, dtype=np.float32), CLIP])
    raw = classifier(padded, clean=False)
    assert abs(raw[0]["score"] - classifier(padded)[0]["score"]) > 1e-6
    same(classifier(clean_audio(padded), clean=False), classifier(padded), atol=1e-6)
    same(classifier(padded, clean=True), classifier(padded), atol=0)


def test_a_long_clip_is_the_mean_of_its_windows(classifier):
    """31 s in windows of at most 15 s are three equal windows."""
    clip = np.concatenate([tone(300 * step, 31 / 4, seed=step) for step in range(1, 5)])
    assert classifier.model.config.window_s == 15
    with torch.no_grad():
        logits = [
            classifier.model(**classifier.processor(audio=[window], text=["leave me"])).logits
            for window in np.array_split(clip, 3)
        ]
    scores = torch.stack(logits).mean(0).softmax(-1)[0].tolist()
    expected = dict(zip(EMOTIONS, scores, strict=True))
    for batch_size in (1, 2, 8):
        row = classifier([clip], text=["leave me"], clean=False, batch_size=batch_size)[0]
        for entry in row:
            assert entry["score"] == pytest.approx(expected[entry["label"]], abs=1e-4)


# What goes in.


def kinds(folder) -> dict:
    path = folder / "clip.wav"
    path.write_bytes(encode(CLIP, subtype="FLOAT"))
    integers = np.round(CLIP * 32767).astype(np.int16)
    return {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "memoryview": memoryview(path.read_bytes()),
        "array": CLIP,
        "tensor": torch.from_numpy(CLIP),
        "list of floats": CLIP.tolist(),
        "list of numpy floats": list(CLIP),
        "dict": {"array": CLIP, "sampling_rate": SAMPLING_RATE},
        "raw": {"raw": CLIP, "sampling_rate": SAMPLING_RATE},
        "bytes of datasets": {"bytes": path.read_bytes(), "path": None},
        "row": {"audio": {"array": CLIP, "sampling_rate": SAMPLING_RATE}, "label": 3},
        "gradio": (SAMPLING_RATE, integers),
    }


def test_every_kind_of_clip(classifier, tmp_path):
    expected = classifier(CLIP)
    sources = kinds(tmp_path)
    for name, source in sources.items():
        try:
            same(classifier(source), expected, atol=1e-3)
        except AssertionError as error:
            raise AssertionError(name) from error
    for row in classifier(list(sources.values())):
        same(row, expected, atol=1e-3)


def test_another_rate(classifier):
    fast = tone(1200, 1.9, rate=48_000, noise=0)
    slow = tone(1200, 1.9, noise=0)
    same(classifier((48_000, fast)), classifier(slow), atol=1e-2)


@pytest.fixture(scope="module")
def singles(classifier):
    return [classifier(clip) for clip in CLIPS]


class Numbered(torch.utils.data.Dataset):
    """A data set that only knows its items by number."""

    def __len__(self) -> int:
        return len(CLIPS)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(CLIPS):
            raise AssertionError(f"no item {index}")
        return CLIPS[index]


def test_many_clips_at_once(classifier, singles, rows):
    decoded = rows.cast_column("audio", datasets.Audio())
    collections = {
        "list": list(CLIPS),
        "tuple": tuple(CLIPS),
        "generator": (clip for clip in CLIPS),
        "data set without __iter__": Numbered(),
        "rows with bytes": rows,
        "rows with decoders": decoded,
        "column": decoded["audio"],
        "streamed rows": rows.to_iterable_dataset(),
        "KeyDataset": KeyDataset(rows, "audio"),
    }
    for name, clips in collections.items():
        found = classifier(clips, batch_size=3)
        assert isinstance(found, list) == isinstance(clips, list | tuple), name
        found = list(found)
        assert len(found) == 4, name
        for row, expected in zip(found, singles, strict=True):
            same(row, expected)


def test_a_generator_is_read_one_batch_ahead(classifier):
    read = []

    def clips():
        for number in range(100):
            read.append(number)
            yield CLIPS[3]

    answers = classifier(clips(), batch_size=3)
    assert read == []
    next(answers)
    assert read == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_batch_gives_what_single_clips_give(classifier, batch_size):
    singles = [classifier(clip, text=text or "") for clip, text in zip(CLIPS, TEXTS, strict=True)]
    found = classifier(list(CLIPS), text=TEXTS, batch_size=batch_size)
    for row, expected in zip(found, singles, strict=True):
        same(row, expected)


def test_no_clips(classifier):
    assert classifier([]) == []
    assert list(classifier(iter(()))) == []


# Bad clips.


BAD = [
    ("missing.wav", "no such file"),
    (b"not audio at all", "not an audio file"),
    (CLIP[:300], "at least 0.1 s"),
    (CLIP * 0, "silent"),
    ({"audio": {"bytes": None, "path": None}}, "needs 'array'"),
    (None, "expected samples"),
]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_bad_row_carries_its_error_and_the_others_go_on(classifier, singles, batch_size):
    rows = [*zip(CLIPS, singles, strict=True), *BAD]
    rows = [rows[index] for index in (4, 0, 5, 6, 1, 2, 7, 8, 3, 9)]
    clips, expected = zip(*rows, strict=True)
    clips = list(clips)
    for found in (
        classifier(clips, batch_size=batch_size),
        list(classifier(iter(clips), batch_size=batch_size)),
    ):
        assert len(found) == len(clips)
        for row, wanted in zip(found, expected, strict=True):
            if isinstance(wanted, str):
                assert list(row) == ["error"]
                assert wanted in row["error"] and "\n" not in row["error"]
            else:
                same(row, wanted)


def test_only_bad_clips(classifier):
    found = classifier([bad for bad, _ in BAD], return_transcript=True)
    assert [list(row) for row in found] == [["error"]] * len(BAD)


@pytest.mark.parametrize(("source", "message"), BAD)
def test_a_single_bad_clip_is_an_error(classifier, source, message):
    with pytest.raises(ValueError, match=message) as error:
        classifier(source)
    assert type(error.value).__name__ == "AudioError"


# Options.


@pytest.mark.parametrize("top_k", [1, 3, 7, 100])
def test_top_k(classifier, top_k):
    assert classifier(CLIP, top_k=top_k) == classifier(CLIP)[:top_k]
    row = classifier([CLIP], top_k=top_k, return_transcript=True)[0]
    assert row["emotions"] == classifier(CLIP)[:top_k]


def test_options_at_construction(model_folder, classifier):
    short = load(model_folder, top_k=2, batch_size=3)
    assert short(CLIP) == classifier(CLIP)[:2]
    assert short(CLIP, top_k=4) == classifier(CLIP)[:4]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"topk": 3}, TypeError, "unknown option: topk"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, not 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"batch_size": -1}, ValueError, "batch_size must be at least 1, not -1"),
    ],
)
def test_bad_options(classifier, options, error, message):
    with pytest.raises(error, match=message):
        classifier([CLIP], **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(model_folder, classifier, dtype):
    half = load(model_folder, dtype=dtype)
    assert half.model.dtype == dtype
    found = {row["label"]: row["score"] for row in half(CLIP, text="leave me")}
    for row in classifier(CLIP, text="leave me"):
        assert found[row["label"]] == pytest.approx(row["score"], abs=0.05)


# The folder.


def test_the_folder_is_complete(model_folder):
    files = {path.name for path in model_folder.iterdir()}
    code = {path.name for path in Path(hub_model.__file__).parent.glob("*.py")} - {"__init__.py"}
    assert files == code | {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)


def test_a_loaded_pipeline_saves_a_folder_that_loads_again(classifier, tmp_path):
    classifier.save_pretrained(tmp_path / "again")
    again = load(tmp_path / "again")
    assert again(CLIP, text="leave me") == classifier(CLIP, text="leave me")
    again.save_pretrained(tmp_path / "again")  # onto itself
    assert load(tmp_path / "again")(CLIP) == classifier(CLIP)


ELSEWHERE = """
import json, sys
sys.modules["torchaudio"] = None  # importing it is an error from here on
from transformers import pipeline
classifier = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=True)
row = classifier(sys.argv[2], text="leave me")
ours = sorted(name for name in sys.modules if name.split(".")[0] in ("hub_model", "tests"))
print(json.dumps({"row": row, "ours": ours, "module": type(classifier).__module__}))
"""


def test_the_code_travels_with_the_folder(model_folder, classifier, tmp_path, monkeypatch):
    """Another process in an empty folder, which knows nothing of this repository."""
    clip = tmp_path / "clip.wav"
    clip.write_bytes(encode(CLIP))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(model_folder), str(clip)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["ours"] == []
    assert answer["module"].startswith("transformers_modules.")
    same(answer["row"], classifier(load_audio(clip), text="leave me"), atol=1e-5)
