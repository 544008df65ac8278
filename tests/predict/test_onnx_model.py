"""An exported model gives what torch gives, in the pipeline and on the command line as well."""

import json
import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from hub_model.configuration_hubert_bert import HubertBertConfig
from speech_emotion.cli.main import main
from speech_emotion.predict import onnx_model
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.onnx_model import FILES, OnnxMissing, load_onnx
from tests.helpers.answers import same
from tests.helpers.sounds import CLIPS, TEXTS, encode
from tests.helpers.tiny_models import tiny_pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model folder, the folder of its export, and what the command said."""
    folder = tmp_path_factory.mktemp("onnx")
    tiny_pipeline(missing_text="learned", temperature=2.0).save_pretrained(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        command = ["export", "--model", str(folder / "model"), "--onnx", "--int8"]
        assert main([*command, "--out", str(folder / "out")]) == 0
    return folder / "model", folder / "out", said


def test_the_command_says_how_far_the_answers_lie_apart(exported):
    _, out, said = exported
    assert len(said) == 2
    for line, name in zip(said, FILES.values(), strict=True):
        assert (out / name).is_file() and line.startswith(str(out / name))
    differences = [float(line.split("torch ")[1].split(",")[0]) for line in said]
    assert differences[0] < 1e-5 < differences[1] < 0.01
    assert not list(out.rglob("tmp*"))


@pytest.mark.parametrize("texts", [TEXTS, (None,) * 4, ("kids are talking",) * 4])
def test_batches_and_singles_give_what_torch_gives(exported, texts):
    source, out, _ = exported
    classifier = load_classifier(source)
    model, processor, runner = classifier.model, classifier.processor, load_onnx(out)
    with torch.no_grad():
        for rows in ([0, 1, 2, 3], [1], [3, 0]):
            inputs = processor(audio=[CLIPS[i] for i in rows], text=[texts[i] for i in rows])
            torch.testing.assert_close(
                torch.from_numpy(runner(**inputs)), model(**inputs).logits, atol=1e-4, rtol=0
            )


def test_the_pipeline_runs_on_it(exported):
    source, out, _ = exported
    ask = {"text": list(TEXTS), "check_speech": False}
    expected = load_classifier(source)(list(CLIPS), **ask)
    rows = load_classifier(out, backend="onnx")(list(CLIPS), **ask)
    for row, wanted in zip(rows, expected, strict=True):
        same(row, wanted)
    for row, wanted in zip(
        load_classifier(out, backend="onnx", precision="int8")(list(CLIPS), **ask),
        expected,
        strict=True,
    ):
        scores = [{entry["label"]: entry["score"] for entry in found} for found in (row, wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=0.01)


def test_predict_runs_on_it(exported, tmp_path, capsys):
    source, out, _ = exported
    (tmp_path / "clip.wav").write_bytes(encode(CLIPS[1]))
    rows = []
    for options in (["--model", str(source)], ["--model", str(out), "--backend", "onnx"]):
        command = ["predict", str(tmp_path / "clip.wav"), "--format", "json", "--no-speech-check"]
        assert main([*command, *options]) == 0
        rows.append(json.loads(capsys.readouterr().out))
    same(rows[1]["emotions"], rows[0]["emotions"])


def test_neither_torch_nor_transformers_is_imported(exported, tmp_path):
    (tmp_path / "clip.wav").write_bytes(encode(CLIPS[1]))
    program = (
        "import sys; from speech_emotion.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'transformers'} & set(sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", program, "predict", str(tmp_path / "clip.wav")]
    command += ["--model", str(exported[1]), "--text", "kids are talking", "--no-speech-check"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, env=environment)


def test_it_can_be_calibrated_with_transcripts(exported):
    by_backend = []
    for folder, backend in zip(exported[:2], ("torch", "onnx"), strict=True):
        classifier = load_classifier(folder, backend=backend, transcriber="none")
        by_backend.append(classifier.calibrate(list(CLIPS), [0, 5, 4, 1], text=TEXTS))
    assert by_backend[1] == pytest.approx(by_backend[0], rel=1e-2)


def test_the_defaults_are_those_of_the_config():
    named = HubertBertConfig(**onnx_model.DEFAULTS)
    assert named.to_dict() == HubertBertConfig().to_dict()


def test_text_only_is_refused(exported):
    runner = load_onnx(exported[1])
    processor = load_classifier(exported[0]).processor
    with pytest.raises(ValueError, match="needs audio"):
        runner(**processor(text=["kids"]))


def test_what_is_not_there_is_said(exported, model_folder):
    with pytest.raises(ValueError, match=r"no onnx/model\.onnx; run speech-emotion export"):
        load_classifier(model_folder, backend="onnx")
    with pytest.raises(ValueError, match=r"precision must be fp32 or int8, not 'bf16'"):
        load_classifier(exported[1], backend="onnx", precision="bf16")


def test_missing_packages_are_named(exported, model_folder, tmp_path, monkeypatch, capsys):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(onnx_model, "import_module", missing)
    with pytest.raises(OnnxMissing, match=r"speech-text-emotion\[onnx\]"):
        load_classifier(exported[1], backend="onnx")
    command = ["export", "--model", str(model_folder), "--onnx", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "speech-text-emotion[onnx]" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
