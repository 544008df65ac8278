"""The loader: whose code runs, what is refused, and settings of older checkpoints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import pipeline

from hub_model.labels import EMOTIONS
from speech_emotion.predict import ModelError
from speech_emotion.predict.fitting import write_fitted
from speech_emotion.predict.loading import load_classifier
from tests.helpers.answers import load, same
from tests.helpers.marked_models import write_marked
from tests.helpers.sounds import CLIPS
from tests.helpers.tiny_models import tiny_model, tiny_pipeline

ROOT = Path(__file__).resolve().parents[2]


def test_a_model_of_this_library_runs_the_installed_code(model_folder, classifier, tmp_path):
    mark = tmp_path / "mark"
    folder = write_marked(model_folder, tmp_path / "model", mark)
    ours = load_classifier(folder)
    assert not mark.exists()
    same(ours(CLIPS[1]), classifier(CLIPS[1]), atol=1e-6)
    for part in (ours, ours.model, ours.model.config, ours.processor):
        assert type(part).__module__.startswith("hub_model.")
    theirs = load_classifier(folder, trust_remote_code=True)
    assert mark.exists()
    assert type(theirs.model).__module__.startswith("transformers_modules.")
    same(theirs(CLIPS[1]), classifier(CLIPS[1]), atol=1e-6)


def test_a_model_that_needs_other_code_is_refused(model_folder, classifier, tmp_path):
    mark = tmp_path / "mark"
    folder = write_marked(model_folder, tmp_path / "model", mark, model_type="other_bert")
    with pytest.raises(ModelError, match="--trust-remote-code") as error:
        load_classifier(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    assert not mark.exists()
    theirs = load_classifier(folder, trust_remote_code=True)
    assert mark.exists() and theirs.model.config.model_type == "other_bert"
    same(theirs(CLIPS[1]), classifier(CLIPS[1]), atol=1e-6)


def test_code_of_a_stock_checkpoint_is_refused(tmp_path):
    """A type that transformers knows, with classes of its own."""
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = tiny_model(use_text=False).config.audio_config.to_dict()
    config["auto_map"] = {"AutoModelForAudioClassification": "mine.Mine"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        load_classifier(tmp_path)
    assert not mark.exists()


def test_code_of_a_processor_is_not_run(model_folder, tmp_path):
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    mark = tmp_path / "mark"
    (folder / "mine.py").write_text(f"open({str(mark)!r}, 'w')\n")
    for name in ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        settings = json.loads((folder / name).read_text())
        settings["auto_map"] = {
            "AutoTokenizer": ["mine.Mine", None],
            "AutoFeatureExtractor": "mine.Mine",
            "AutoProcessor": "mine.Mine",
        }
        (folder / name).write_text(json.dumps(settings))
    load_classifier(folder)  # its tokenizer and feature extractor are of transformers
    assert not mark.exists()


def test_loading_leaves_the_auto_classes_alone(model_folder):
    load_classifier(model_folder)
    theirs = load(model_folder)
    for part in (theirs, theirs.model, theirs.model.config, theirs.processor):
        assert type(part).__module__.startswith("transformers_modules.")


REGISTER = """
import sys
from transformers import AutoModelForAudioClassification, AutoProcessor, pipeline
from speech_emotion.predict.loading import register_auto_classes

register_auto_classes()
register_auto_classes()
model = AutoModelForAudioClassification.from_pretrained(sys.argv[1])
assert type(model).__module__ == "hub_model.modeling_hubert_bert"
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=False)
assert type(processor).__module__ == "hub_model.processing_hubert_bert"
classifier = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=True)
print(len(classifier(sys.argv[2], check_speech=False)))
"""


def test_registered_classes_are_loaded_without_trust(model_folder):
    clip = ROOT / "examples" / "angry.wav"
    done = subprocess.run(
        [sys.executable, "-c", REGISTER, str(model_folder), str(clip)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len(EMOTIONS))]


@pytest.mark.parametrize(
    ("source", "message"),
    [("no/such/folder", "no such folder"), ("nobody", "no such folder")],
)
def test_a_model_that_does_not_exist(source, message):
    with pytest.raises(ModelError, match=f"^{source}: {message}$"):
        load_classifier(source)


def test_options_of_the_weights_are_used(model_folder):
    import torch

    classifier = load_classifier(model_folder, dtype=torch.bfloat16, device="cpu", top_k=2)
    assert classifier.model.dtype == torch.bfloat16
    assert len(classifier(CLIPS[0], check_speech=False)) == 2


# Settings that calibrate and adapt write.

MEANS = [[float(row == column) for column in range(7)] for row in range(7)]
SHIFT = [0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_settings_of_an_older_checkpoint_get_todays_names(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name in ("class_mean_logits", "logit_bias"):
        config.pop(name, None)
    path.write_text(json.dumps(config | {"emotion_logits": MEANS, "logit_shift": SHIFT}))
    older = tmp_path / "configuration_hubert_bert.py"
    older.write_text(older.read_text() + "\n# of an older release\n")
    expected = load_classifier(tmp_path)(CLIPS[1], check_speech=False)
    write_fitted(tmp_path, {"temperature": 1.0})
    written = json.loads(path.read_text())
    assert not {"emotion_logits", "logit_shift"} & written.keys()
    assert written["class_mean_logits"] == MEANS
    assert written["logit_bias"] == [-value for value in SHIFT]
    # The code beside the config knows the names that it has now.
    assert older.read_bytes() == (ROOT / "hub_model" / older.name).read_bytes()
    same(load_classifier(tmp_path)(CLIPS[1], check_speech=False), expected, atol=1e-7)
    theirs = pipeline("audio-classification", model=str(tmp_path), trust_remote_code=True)
    same(theirs(CLIPS[1], check_speech=False), expected, atol=1e-6)


def test_a_new_value_replaces_that_of_an_older_name(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"logit_shift": SHIFT}))
    write_fitted(tmp_path, {"logit_bias": [0.25] * 7})
    assert load_classifier(tmp_path).model.config.logit_bias == [0.25] * 7
