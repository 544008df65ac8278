"""What transformers does with stock audio classifiers, it does with this model."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.dynamic_module_utils import get_imports

from hub_model.configuration_hubert_bert import HubertBertConfig
from tests.helpers.answers import load, same
from tests.helpers.model_answers import answer
from tests.helpers.sounds import CLIPS, TEXTS, encode
from tests.helpers.tiny_models import tiny_model

NEEDED = {
    "huggingface_hub",
    "numpy",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "tqdm",
    "transformers",
}
"""Packages without which transformers refuses the code of a checkpoint; the card names two."""

FOUR = dict(enumerate(("ang", "hap", "neu", "sad")))


@pytest.fixture
def examples() -> list[dict]:
    return [
        {"input_values": torch.randn(8000), "labels": torch.tensor(place % 7)} for place in range(6)
    ]


def trainer(folder, tmp_path, examples, **arguments) -> Trainer:
    model = AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=True)
    settings = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "seed": 0} | arguments
    return Trainer(
        model,
        TrainingArguments(str(tmp_path / "out"), **settings),
        train_dataset=examples,
        eval_dataset=examples,
        compute_metrics=lambda found: {
            "right": float((found.predictions.argmax(-1) == found.label_ids).mean())
        },
    )


def test_optional_packages_are_not_asked_of_everybody(model_folder):
    asked = {name for file in Path(model_folder).glob("*.py") for name in get_imports(file)}
    assert asked - set(sys.stdlib_module_names) == NEEDED


def test_the_predictions_of_the_trainer_are_logits(model_folder, tmp_path, examples):
    found = trainer(model_folder, tmp_path, examples).predict(examples)
    assert found.predictions.shape == (6, 7)
    assert 0 <= found.metrics["test_right"] <= 1


def test_gradient_accumulation_gives_the_gradient_of_the_batch(model_folder, tmp_path, examples):
    losses = {}
    for steps in (1, 3):
        run = trainer(
            model_folder,
            tmp_path,
            examples,
            per_device_train_batch_size=6 // steps,
            gradient_accumulation_steps=steps,
            max_steps=1,
            logging_steps=1,
            learning_rate=0.0,
        )
        for part in run.model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        run.model.config.text_modality_dropout = 0.0
        run.train()
        losses[steps] = run.state.log_history[0]["loss"]
    assert losses[3] == pytest.approx(losses[1], abs=0.05)


def test_a_checkpoint_of_the_trainer_is_a_folder_for_pipeline(model_folder, tmp_path, examples):
    run = trainer(model_folder, tmp_path, examples, max_steps=1, save_steps=1)
    run.processing_class = AutoProcessor.from_pretrained(model_folder, trust_remote_code=True)
    run.train()
    for folder in (tmp_path / "out" / "checkpoint-1",):
        rows = pipeline(
            "audio-classification", model=str(folder), trust_remote_code=True, transcriber="none"
        )(CLIPS[0])
        assert len(rows) == 7


def test_other_labels_start_a_new_head_and_forget_the_fit(model_folder):
    labels = {"id2label": FOUR, "label2id": {name: i for i, name in FOUR.items()}}
    changed = {"trust_remote_code": True, "num_labels": 4, **labels}
    config = AutoConfig.from_pretrained(model_folder, **changed)
    assert config.num_labels == 4 and list(config.id2label.values()) == list(FOUR.values())
    model = AutoModelForAudioClassification.from_pretrained(
        model_folder, ignore_mismatched_sizes=True, **changed
    )
    assert model.classifier.out_features == 4
    with pytest.raises(ValueError, match="mismatched keys"):
        AutoModelForAudioClassification.from_pretrained(model_folder, **changed)


def test_as_many_labels_of_other_names_start_a_new_head(model_folder, caplog):
    def load(**options):
        return AutoModelForAudioClassification.from_pretrained(
            model_folder, trust_remote_code=True, **options
        )

    model = load()
    same = load(id2label=dict(model.config.id2label))
    assert torch.equal(same.classifier.weight, model.classifier.weight)
    capitals = {place: name.title() for place, name in model.config.id2label.items()}
    same = load(id2label=capitals)
    assert torch.equal(same.classifier.weight, model.classifier.weight)
    assert same.config.id2label == capitals
    with caplog.at_level("WARNING", logger="transformers_modules"):
        other = load(id2label={place: f"other {place}" for place in range(7)})
    assert "its labels are angry, calm" in caplog.text and "must be trained" in caplog.text
    assert not torch.equal(other.classifier.weight, model.classifier.weight)
    assert list(other.config.id2label.values())[6] == "other 6"
    assert other.config.temperature == 1.0


def test_what_was_fitted_belongs_to_the_labels():
    fitted = {"logit_bias": [0.0] * 7, "class_mean_logits": [[0.0] * 7] * 7}
    config = HubertBertConfig(temperature=2.0, **fitted)
    config.id2label = {place: f"renamed {place}" for place in range(7)}
    assert config.temperature == 2.0 and config.logit_bias == [0.0] * 7
    config.num_labels = 4
    assert (config.temperature, config.logit_bias, config.class_mean_logits) == (1.0, None, None)


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_both_names_of_the_dtype(model_folder, name):
    model = AutoModelForAudioClassification.from_pretrained(
        model_folder, trust_remote_code=True, **{name: torch.bfloat16}
    )
    assert model.dtype == torch.bfloat16


def test_linear_layers_can_be_quantised():
    model = tiny_model()
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)
    assert not isinstance(quantised.classifier, torch.nn.Linear)
    for texts in (TEXTS, None):
        expected = answer(model, CLIPS, texts)
        torch.testing.assert_close(answer(quantised, CLIPS, texts), expected, atol=0.1, rtol=0)


def test_the_feature_encoder_can_be_frozen(model_folder):
    model = AutoModelForAudioClassification.from_pretrained(model_folder, trust_remote_code=True)
    model.freeze_feature_encoder()
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if "feature_extractor" in n}


def test_the_processor_is_called_as_the_documentation_of_transformers_does(model_folder):
    processor = AutoProcessor.from_pretrained(model_folder, trust_remote_code=True)
    clips = list(CLIPS[:2])
    batch = processor(audio=clips, sampling_rate=16_000, padding=True, return_tensors="pt")
    torch.testing.assert_close(batch["input_values"], processor(audio=clips)["input_values"])
    with pytest.raises(ValueError, match="sampling_rate must be 16000"):
        processor(audio=clips, sampling_rate=44_100)
    with pytest.raises(ValueError, match="padding must be"):
        processor(audio=clips, padding="max_length")


def test_columns_and_arrays_of_names(model_folder, tmp_path):
    names = []
    for place, clip in enumerate(CLIPS):
        names.append(str(tmp_path / f"{place}.wav"))
        (tmp_path / f"{place}.wav").write_bytes(encode(clip, subtype="FLOAT"))
    classifier = load(model_folder)
    expected = classifier(names)
    table = pd.DataFrame({"path": names, "order": range(len(names)), "text": [None] * 4})
    turned = table.sort_values("order", ascending=False)["path"]
    for workers in (0, 1):
        for found, row in zip(classifier(turned, num_workers=workers), expected[::-1], strict=True):
            same(found, row)
        later = table[table.order > 1]["path"]
        for found, row in zip(classifier(later, num_workers=workers), expected[2:], strict=True):
            same(found, row)
    for kind in (str, object):
        assert list(classifier(np.array(names, dtype=kind))) == expected
    missing = [float("nan"), "leave me", None, ""]
    assert list(classifier(names, text=missing)) == classifier(
        names, text=[None, "leave me", None, ""]
    )


def test_the_steps_of_the_pipeline_work_one_by_one(model_folder):
    classifier = load(model_folder)
    clip = classifier.preprocess(CLIPS[0], text="leave me")
    row = classifier.postprocess(classifier.forward(clip))
    assert row == classifier(CLIPS[0], text="leave me")
    assert classifier.run_single(CLIPS[0], {"text": "leave me"}, {}, {"top_k": 2}) == row[:2]


def test_a_tuple_and_arrays_where_they_are_asked_for(model_folder):
    model = AutoModelForAudioClassification.from_pretrained(
        model_folder, trust_remote_code=True
    ).eval()
    processor = AutoProcessor.from_pretrained(model_folder, trust_remote_code=True)
    tensors = processor(audio=CLIPS[:2])
    arrays = processor(audio=CLIPS[:2], return_tensors="np")
    assert {name: type(value) for name, value in arrays.items()} == dict.fromkeys(
        tensors, np.ndarray
    )
    with torch.no_grad():
        whole, parts = model(**tensors), model(**tensors, return_dict=False)
    assert isinstance(parts, tuple)
    assert torch.equal(parts[0], whole.logits)


def test_a_missing_option_of_other_labels_is_named(model_folder):
    with pytest.raises(ValueError, match="ignore_mismatched_sizes=True starts a new head$"):
        AutoModelForAudioClassification.from_pretrained(
            model_folder, trust_remote_code=True, num_labels=4
        )
