"""Which precision is chosen on a machine, and what is said of a slow one."""

import json
import warnings

import pytest
import soundfile
import torch
from huggingface_hub import constants

from hub_model.audio import SAMPLING_RATE
from speech_emotion.cli.main import main
from speech_emotion.predict import speed
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.precision import Bf16Linear, Int8Linear
from tests.helpers.sounds import CLIPS
from tests.helpers.tiny_encoders import pair_processor
from tests.helpers.tiny_models import tiny_model


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path))
    return tmp_path / "speech-text-emotion" / "speed.json"


@pytest.fixture
def measured(monkeypatch):
    """Pretends how fast precisions are; counts the measurements."""
    calls = []

    def pretend(ratio: float, *, instructions: bool = True) -> list[str]:
        monkeypatch.setattr(speed, "has_bf16", lambda: instructions)
        monkeypatch.setattr(
            speed, "measured_ratio", lambda model, processor, name: calls.append(name) or ratio
        )
        return calls

    return pretend


def layers(folder, precision) -> set[type]:
    return {type(part) for part in load_classifier(folder, precision=precision).model.modules()}


def test_auto_takes_the_faster_one(measured, model_folder):
    measured(3.0)
    assert Bf16Linear in layers(model_folder, "auto")


@pytest.mark.parametrize(("ratio", "instructions"), [(1.1, True), (3.0, False)])
def test_auto_is_fp32_where_the_other_is_hardly_faster(measured, model_folder, ratio, instructions):
    calls = measured(ratio, instructions=instructions)
    assert Bf16Linear not in layers(model_folder, "auto")
    assert calls == (["bf16"] if instructions else [])


def test_a_slow_precision_is_used_with_one_warning(measured, model_folder):
    measured(0.19)
    with pytest.warns(UserWarning, match=r"^on this machine int8 is 0\.19 times as fast") as seen:
        assert Int8Linear in layers(model_folder, "int8")
    assert len([w for w in seen if "times as fast" in str(w.message)]) == 1


def test_the_command_says_so_in_one_line(measured, model_folder, tmp_path, capsys):
    measured(0.5)
    soundfile.write(tmp_path / "clip.wav", CLIPS[0], SAMPLING_RATE)
    command = ["predict", str(tmp_path / "clip.wav"), "--model", str(model_folder)]
    command += ["--transcriber", "none", "--no-speech-check", "--precision", "bf16"]
    assert main(command) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "bf16" in line] == [
        "speech-emotion: on this machine bf16 is 0.50 times as fast as fp32, measured on 2 s of "
        "audio; the precision auto takes the faster one"
    ]


def test_a_fast_one_is_used_without(measured, model_folder):
    measured(2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert Bf16Linear in layers(model_folder, "bf16")


def test_a_measurement_is_kept_for_the_machine_and_the_model(measured, model_folder, home):
    calls = measured(2.0)
    for _ in range(2):
        layers(model_folder, "bf16")
    assert calls == ["bf16"]
    [key] = json.loads(home.read_text())
    assert torch.__version__ in key and "threads" in key
    home.write_text("no json")
    layers(model_folder, "bf16")
    assert calls == ["bf16", "bf16"]


def test_a_real_measurement_leaves_the_model_as_it_was():
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    processor = pair_processor("hubert-base", "bert")
    assert speed.ratio_to_fp32(model, processor, "int8") > 0
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert not any(isinstance(part, Int8Linear) for part in model.modules())
