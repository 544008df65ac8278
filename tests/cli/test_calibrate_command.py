"""``speech-emotion calibrate``: a table or a corpus in, a temperature in the config."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest

from hub_model.audio import audio_hash, load_audio
from hub_model.labels import EMOTIONS, Labels
from speech_emotion.cli.main import main
from tests.helpers.answers import load
from tests.helpers.sounds import CLIPS, TEXTS, encode

NAMES = ("angry", "sad", "happy", "calm")


@pytest.fixture
def model(model_folder, tmp_path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture
def table(tmp_path) -> Path:
    (tmp_path / "clips").mkdir()
    lines = ["path,emotion,speaker"]
    for place, (clip, name) in enumerate(zip(CLIPS, NAMES, strict=True)):
        (tmp_path / "clips" / f"{place}.wav").write_bytes(encode(clip, subtype="FLOAT"))
        lines.append(f"clips/{place}.wav,{name},x")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def config(model: Path) -> dict:
    return json.loads((model / "config.json").read_text())


def test_a_table(model, table, capsys):
    before = config(model)
    expected = load(model).calibrate(list(CLIPS), NAMES)
    assert main(["calibrate", str(table), "--model", str(model), "--dry-run"]) == 0
    assert config(model) == before
    assert main(["calibrate", str(table), "--model", str(model)]) == 0
    assert (
        f"temperature {expected:.4f} from 4 clips; few, which draws it towards 1; it was 1.0000"
        in capsys.readouterr().out
    )
    after = config(model)
    assert after.pop("temperature") == pytest.approx(expected, rel=1e-4) != 1
    assert before.pop("temperature") == 1
    assert after.pop("class_mean_logits") is before.pop("class_mean_logits", None) is None
    assert after == before
    assert not list(model.glob("*.tmp"))
    assert load(model).model.config.temperature == pytest.approx(expected, rel=1e-4)


def test_clips_of_every_emotion_tell_what_each_gets(model, tmp_path):
    lines = ["path,emotion"]
    for place, name in enumerate(EMOTIONS):
        clip = CLIPS[place % len(CLIPS)] * (1 + place)
        (tmp_path / f"{place}.wav").write_bytes(encode(clip, subtype="FLOAT"))
        lines.append(f"{place}.wav,{name}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    asked = ["calibrate", str(tmp_path / "table.csv"), "--model", str(model)]
    assert main([*asked, "--keep-temperature"]) == 0
    after = config(model)
    assert after["temperature"] == 1
    classifier = load(model)
    for place, row in enumerate(after["class_mean_logits"]):
        answer = classifier(str(tmp_path / f"{place}.wav"), text="", check_speech=False)
        scores = {entry["label"]: entry["score"] for entry in answer}
        chances = Labels(EMOTIONS, None).scores(np.exp(row) / np.exp(row).sum())
        assert chances == pytest.approx([scores[name] for name in EMOTIONS], abs=1e-4)


def test_a_corpus(model, tmp_path, capsys):
    rows = {
        "audio": [{"bytes": encode(clip, subtype="FLOAT"), "path": None} for clip in CLIPS],
        "label": [EMOTIONS.index(name) for name in NAMES],
        "transcript": list(TEXTS),
        "corpus": ["made"] * len(CLIPS),
    }
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=list(EMOTIONS)),
            "transcript": datasets.Value("string"),
            "corpus": datasets.Value("string"),
        }
    )
    data = datasets.Dataset.from_dict(rows, features=features)
    data = data.cast_column("audio", datasets.Audio(decode=False))
    folder = tmp_path / "corpus"
    for split in ("train", "validation"):
        data.to_parquet(folder / "speaker_disjoint" / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: speaker_disjoint\n  data_files:\n"
        "  - split: train\n    path: speaker_disjoint/train-*\n"
        "  - split: validation\n    path: speaker_disjoint/validation-*\n---\n"
    )
    expected = load(model).calibrate(list(CLIPS), NAMES, text=TEXTS, clean=False)
    assert main(["calibrate", str(folder), "--model", str(model), "--corpus", "made"]) == 0
    assert config(model)["temperature"] == pytest.approx(expected, rel=1e-4)
    assert main(["calibrate", str(folder), "--model", str(model), "--corpus", "other"]) == 2
    assert "no clips of other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.wav,sad\n", "expected the columns path, emotion"),
        ("", "expected the columns path, emotion"),
        ("path,emotion\nclips/0.wav,bored\n", "not emotions of the model"),
        ("path,emotion\nmissing.wav,sad\n", "no clip can be used"),
        (b"\x89\x00\x01\xff\x81", "not a table"),
    ],
)
def test_tables_that_do_not_do(model, table, capsys, content, message):
    if isinstance(content, bytes):
        table.write_bytes(content)
    else:
        table.write_text(content)
    before = (model / "config.json").read_bytes()
    assert main(["calibrate", str(table), "--model", str(model)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1] and all(line.startswith("speech-emotion: ") for line in lines)
    assert (model / "config.json").read_bytes() == before


def test_a_careless_table(model, table, capsys):
    expected = load(model).calibrate(list(CLIPS), NAMES)
    text = table.read_text().replace("path,emotion", " Path ;EMOTION").replace(",", ";")
    text = text.replace("angry", " Anger ").replace("sad", "CROSS").replace("clips/0", "clips\\0")
    text += "clips/1.wav\nclips/2.wav;bored;x\nmissing.wav;sad;x\n"
    table.write_text(text, encoding="utf-16")
    asked = ["calibrate", str(table), "--model", str(model), "--map", "cross=Sad"]
    assert main(asked) == 1
    shown = capsys.readouterr()
    assert f"temperature {expected:.4f} from 4 clips; few" in shown.out
    assert "line 6 has no emotion" in shown.err and "bored 1; left out" in shown.err
    assert "missing.wav: no such file" in shown.err
    assert main([*asked, "-q"]) == 1
    assert capsys.readouterr().err.count("\n") == 1  # the file that is missing


def test_clips_of_the_training_data_are_noted(model, table, capsys):
    hashes = [audio_hash(load_audio(table.parent / "clips" / f"{n}.wav"))[:12] for n in range(2)]
    record = {"audio_hashes": " ".join(hashes), "speakers": ["a"]}
    (model / "training_record.json").write_text(json.dumps(record))
    asked = ["calibrate", str(table), "--model", str(model)]
    assert main([*asked, "--dry-run"]) == 0
    assert "2 of the clips are in the training data" in capsys.readouterr().err
    assert main([*asked, "--keep-temperature"]) == 0
    shown = capsys.readouterr()
    assert "training data" not in shown.err and "as it was; the class-mean logits" in shown.out


def test_a_label_map_to_a_label_that_the_model_lacks(model, table, capsys):
    asked = ["calibrate", str(table), "--model", str(model), "--map", "sad=gloomy"]
    assert main(asked) == 2
    assert "--map sad=gloomy: gloomy is none of angry, calm" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):  # no model: none is changed unasked
        main(asked[:2])
    assert "--model" in capsys.readouterr().err


def test_means_of_every_emotion_survive_clips_of_a_few(model, table, capsys):
    means = np.eye(len(EMOTIONS)).tolist()
    path = model / "config.json"
    path.write_text(json.dumps(config(model) | {"class_mean_logits": means}))
    assert main(["calibrate", str(table), "--model", str(model)]) == 0
    assert config(model)["class_mean_logits"] == means
    assert "no clips of disgust, fearful, surprised" in capsys.readouterr().err


def test_what_is_not_there(model, table, tmp_path, capsys):
    for arguments in (
        ["calibrate", str(tmp_path / "missing.csv"), "--model", str(model)],
        ["calibrate", str(tmp_path / "clips"), "--model", str(model)],
        ["calibrate", str(table), "--model", "nobody/model"],
    ):
        assert main(arguments) == 2
        assert "Traceback" not in capsys.readouterr().err
