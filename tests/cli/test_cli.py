"""``speech-emotion predict``: answers on stdout, one line for each bad clip on stderr."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTForAudioClassification, Wav2Vec2FeatureExtractor

from hub_model.labels import EMOTIONS
from speech_emotion.cli.main import main
from speech_emotion.predict.writers.chart import BAR_WIDTH
from tests.helpers.answers import same
from tests.helpers.sounds import CLIPS, encode

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two good clips and every kind of bad one."""
    folder = tmp_path_factory.mktemp("clips")
    good, nan = encode(CLIPS[1]), CLIPS[1].copy()
    nan[100] = np.nan
    for name, data in {
        "good.wav": good,
        "other.flac": encode(CLIPS[2], format="FLAC"),
        "text.wav": b"this is no audio\n" * 10,
        "empty.wav": b"",
        "no-samples.wav": encode(CLIPS[1][:0]),
        "short.wav": encode(CLIPS[1][8000:8800]),
        "zeros.wav": encode(CLIPS[1] * 0),
        "constant.wav": encode(CLIPS[1] * 0 + 0.3),
        "nan.wav": encode(nan, subtype="FLOAT"),
        "cut.wav": good[: len(good) // 2],
        "cut.flac": encode(CLIPS[2], format="FLAC")[:2000],
        "cut.ogg": encode(CLIPS[2], format="OGG")[:2000],
    }.items():
        (folder / name).write_bytes(data)
    (folder / "folder.wav").mkdir()
    return folder


BAD = [
    "missing.wav",
    "folder.wav",
    "text.wav",
    "empty.wav",
    "no-samples.wav",
    "short.wav",
    "zeros.wav",
    "constant.wav",
    "nan.wav",
    "cut.wav",
    "cut.flac",
    "cut.ogg",
]


@pytest.fixture
def predict(model_folder, capsys):
    """Run the command in this process: exit code, lines of stdout, lines of stderr."""

    def run(*arguments, model=model_folder):
        code = main(["predict", *map(str, arguments), "--model", str(model)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def in_a_process(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "speech_emotion", "predict", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


# In a process of its own, as a user runs it.


def test_a_good_clip_and_bad_ones_as_a_user_sees_them(model_folder, clips):
    names = ("good.wav", "text.wav", "missing.wav", "cut.wav")
    done = in_a_process(*(clips / name for name in names), "--model", model_folder)
    assert done.returncode == 1
    errors = done.stderr.splitlines()
    assert len(errors) == 3, done.stderr
    assert "text.wav: not an audio file" in errors[0]
    assert "missing.wav: no such file" in errors[1]
    assert errors[2].startswith("speech-emotion: ") and "cut.wav: truncated" in errors[2]
    lines = done.stdout.splitlines()
    assert lines[0] == str(clips / "good.wav")
    assert sorted(line.split()[0] for line in lines[1:8]) == sorted(EMOTIONS)
    assert "no transcript: no transcriber was asked for" in lines[8]


# In this process.


def test_a_model_that_does_not_exist_is_one_line(predict, clips):
    code, lines, errors = predict(clips / "good.wav", model=clips / "no-model")
    assert (code, lines) == (2, [])
    assert errors == [f"speech-emotion: {clips / 'no-model'}: no such folder"]


def test_chart(predict, clips, classifier):
    code, lines, _ = predict(clips / "good.wav", "--text", "leave me")
    assert code == 0
    expected = classifier(str(clips / "good.wav"), text="leave me")
    assert lines[0] == str(clips / "good.wav")
    for line, entry in zip(lines[1:8], expected, strict=True):
        label, percent, *bar = line.split()
        assert label == entry["label"]
        assert float(percent.rstrip("%")) == pytest.approx(entry["score"] * 100, abs=0.06)
        assert len("".join(bar)) == round(entry["score"] * BAR_WIDTH)
    assert lines[8].strip() == "transcript: leave me (given)"
    assert lines[9].strip() == "from audio and text"
    assert len(lines) == 10


def test_json(predict, clips, classifier):
    files = [clips / "good.wav", clips / "other.flac"]
    code, lines, _ = predict(*files, "--format", "json")
    assert code == 0
    for file, line in zip(files, lines, strict=True):
        row, expected = json.loads(line), classifier(str(file), return_transcript=True)
        same(row.pop("emotions"), expected.pop("emotions"))
        assert row == {"file": str(file), **expected}


def test_the_transcriber_is_used(predict, clips, transformers_whisper):
    code, lines, _ = predict(clips / "good.wav", "--transcriber", transformers_whisper)
    assert code == 0
    assert lines[8].strip().startswith("transcript: ")
    assert lines[8].endswith(f"({transformers_whisper})")


def test_an_unavailable_transcriber_still_answers(predict, clips):
    code, lines, errors = predict(clips / "good.wav", "--transcriber", "nobody/no-such-classifier")
    assert code == 0
    assert "no transcript: nobody/no-such-classifier: " in lines[8]
    assert lines[9].endswith("from audio")
    assert not any("Traceback" in line for line in errors)


def test_audio_that_is_already_clean(predict, clips, classifier):
    _, lines, _ = predict(clips / "good.wav", "--no-clean", "--format", "json")
    expected = classifier(str(clips / "good.wav"), clean=False)
    same(json.loads(lines[0])["emotions"], expected)
    assert expected != classifier(str(clips / "good.wav"))


def ours(lines: list[str]) -> list[str]:
    """Without what transformers prints while it loads, which the command silences at its start."""
    return [line for line in lines if line.startswith("speech-emotion: ")]


@pytest.mark.parametrize("name", BAD)
def test_bad_clip(predict, clips, name):
    code, lines, errors = predict(clips / name)
    assert code == 2
    assert lines == []
    (line,) = ours(errors)
    assert line.startswith(f"speech-emotion: {clips / name}: ")
    assert not any("Traceback" in line for line in errors)


def test_several_clips_of_which_some_are_bad(predict, clips):
    names = ["good.wav", "empty.wav", "other.flac", "zeros.wav"]
    code, lines, errors = predict(*(clips / name for name in names), "--format", "json")
    assert code == 1
    assert [Path(json.loads(line)["file"]).name for line in lines] == ["good.wav", "other.flac"]
    assert len(ours(errors)) == 2


def test_only_bad_clips(predict, clips):
    code, lines, errors = predict(*(clips / name for name in BAD))
    assert code == 2
    assert lines == [] and len(ours(errors)) == len(BAD)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def rewritten(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data)


def headless(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def other(folder: Path) -> None:
    """A model that the same pipeline task serves, but of another kind."""
    shutil.rmtree(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ASTForAudioClassification(ASTConfig(intermediate_size=16, **sizes)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("config.json"), "config.json|model_type"),
        (rewritten("config.json", b"{ not json"), "not a valid JSON file"),
        (without("model.safetensors"), "no file named model.safetensors"),
        (rewritten("model.safetensors", b"abc" * 100), "SafetensorError"),
        (headless, "missing keys in the weights: classifier.weight"),
        (rewritten("tokenizer.json", b"{}"), "cannot be loaded"),
        (other, "ASTForAudioClassification cannot be read"),
    ],
)
def test_folders_that_are_no_model(predict, clips, model_folder, tmp_path, damage, message):
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    damage(model)
    code, lines, errors = predict(clips / "good.wav", model=model)
    assert (code, lines) == (2, [])
    (line,) = ours(errors)
    assert line.startswith(f"speech-emotion: {model}: ") and len(line) < 600
    assert re.search(message, line.removeprefix(f"speech-emotion: {model}: ")), line
    assert not any("Traceback" in line for line in errors)


def test_a_hub_id_that_cannot_be_reached(predict, clips):
    code, lines, errors = predict(clips / "good.wav", model="nobody/no-such-model")
    assert (code, lines) == (2, [])
    (line,) = ours(errors)
    assert line.startswith("speech-emotion: nobody/no-such-model: ")
    assert line.endswith("; a local model folder needs no network")


@pytest.mark.parametrize(
    "arguments", [[], ["predict"], ["predict", "a.wav", "--format", "xml"], ["guess", "a.wav"]]
)
def test_a_wrong_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
