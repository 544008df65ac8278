"""Pooled vectors standardised by the model: the same logits as with a folded classifier."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForAudioClassification, Trainer, TrainingArguments

from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.predict import DEFAULT_MODEL
from tests.helpers.model_answers import answer
from tests.helpers.sounds import CLIPS, TEXTS, voice
from tests.helpers.tiny_models import tiny_model, tiny_processor

STATISTICS = ("feature_mean", "feature_std")


def standardized() -> HubertBertForEmotion:
    """A model whose statistics are far from 0 and 1."""
    model = tiny_model(standardize_features=True)
    size = model.feature_mean.numel()
    draw = torch.Generator().manual_seed(0)
    model.set_feature_statistics(
        torch.randn(size, generator=draw), 0.1 + torch.rand(size, generator=draw)
    )
    return model


def folded(model: HubertBertForEmotion) -> HubertBertForEmotion:
    """The model of an earlier release, whose classifier reads the vectors as they are."""
    old = HubertBertForEmotion(
        HubertBertConfig.from_dict(model.config.to_dict() | {"standardize_features": False})
    )
    weights = {k: v for k, v in model.state_dict().items() if k not in STATISTICS}
    weights["classifier.weight"], weights["classifier.bias"] = model.folded_classifier()
    old.load_state_dict(weights)
    return old.eval()


@pytest.mark.parametrize(
    ("clips", "texts"),
    [(CLIPS, TEXTS), (CLIPS, None)],
    ids=["fused", "audio-only"],
)
def test_a_folded_classifier_gives_the_same_answers(clips, texts):
    model = standardized()
    old = folded(model)
    assert not old.config.standardize_features
    torch.testing.assert_close(
        answer(model, clips, texts), answer(old, clips, texts), atol=1e-5, rtol=0
    )


def test_without_audio_its_features_are_the_mean_of_the_training_clips():
    model = standardized()
    processor = tiny_processor()
    batch = processor(text=["leave me", "by the door"])
    size = model.config.audio_embedding_size
    with torch.no_grad():
        found = model(**batch)
        text = (found.text_embedding - model.feature_mean[size:]) / model.feature_std[size:]
        expected = text @ model.classifier.weight[:, size:].T + model.classifier.bias
    torch.testing.assert_close(found.logits, expected, atol=1e-5, rtol=0)


def test_words_that_say_nothing_decide_nothing():
    model = HubertBertForEmotion.from_pretrained(DEFAULT_MODEL).eval()
    processor = HubertBertProcessor.from_pretrained(DEFAULT_MODEL, trust_remote_code=False)
    plain = ["Dogs are sitting by the door", "The meeting is on Monday at ten"]
    clear = {
        "I hate you, this makes me furious": "angry",
        "I am so scared, I was terrified": "fearful",
        "Thank you so much, this is wonderful, I love it": "happy",
        "I am so sad, I miss him, sorry for your loss": "sad",
    }
    with torch.no_grad():
        scores = model(**processor(text=[*plain, *clear])).logits.softmax(-1)
    assert scores[: len(plain), :7].max() < 0.5  # neutral is the eighth label
    found = [model.config.id2label[int(index)] for index in scores[len(plain) :].argmax(-1)]
    assert found == list(clear.values())


def test_a_folder_without_the_setting_loads_as_before(tmp_path):
    old = tiny_model()
    old.save_pretrained(tmp_path)
    assert not set(STATISTICS) & load_file(tmp_path / "model.safetensors").keys()
    loaded = HubertBertForEmotion.from_pretrained(tmp_path)
    assert torch.equal(answer(loaded, CLIPS, TEXTS), answer(old, CLIPS, TEXTS))


def test_a_checkpoint_that_lacks_its_statistics_is_refused(tmp_path):
    weights = {k: v for k, v in standardized().state_dict().items() if k != "feature_std"}
    standardized().save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ValueError, match="missing keys in the weights: feature_std"):
        HubertBertForEmotion.from_pretrained(tmp_path)


def test_statistics_are_saved_with_the_weights(tmp_path):
    model = standardized()
    model.save_pretrained(tmp_path)
    loaded = HubertBertForEmotion.from_pretrained(tmp_path)
    for name in STATISTICS:
        assert torch.equal(getattr(loaded, name), getattr(model, name))
    assert torch.equal(answer(loaded, CLIPS, TEXTS), answer(model, CLIPS, TEXTS))


def test_half_precision_costs_no_more_than_in_a_folded_model(tmp_path):
    model = standardized()
    expected = answer(model, CLIPS, TEXTS)
    lost = []
    for name, saved in (("new", standardized()), ("old", folded(model))):
        saved.half().save_pretrained(tmp_path / name)
        loaded = HubertBertForEmotion.from_pretrained(tmp_path / name)
        assert {part.dtype for part in loaded.state_dict().values()} == {torch.float32}
        lost.append(float((answer(loaded, CLIPS, TEXTS) - expected).abs().max()))
    assert lost[0] < max(2 * lost[1], 1e-2)


def test_a_constant_value_is_not_divided_by_zero():
    model = standardized()
    model.set_feature_statistics(model.feature_mean, torch.zeros_like(model.feature_std))
    assert answer(model, CLIPS, TEXTS).isfinite().all()
    with pytest.raises(ValueError, match="standardize_features"):
        tiny_model().set_feature_statistics(model.feature_mean, model.feature_std)


# The embedded checkpoint.


@pytest.fixture(scope="module")
def embedded() -> HubertBertForEmotion:
    return HubertBertForEmotion.from_pretrained(DEFAULT_MODEL).eval()


def test_the_embedded_checkpoint_keeps_its_statistics_in_float32(embedded):
    stored = load_file(DEFAULT_MODEL / "model.safetensors")
    assert embedded.config.standardize_features
    assert {stored[name].dtype for name in STATISTICS} == {torch.float32}


def test_other_labels_keep_encoders_and_statistics(embedded):
    model = AutoModelForAudioClassification.from_pretrained(
        DEFAULT_MODEL, trust_remote_code=True, num_labels=4, ignore_mismatched_sizes=True
    )
    fitted = ("classifier", "text_only_classifier")  # to the labels
    kept = {k: v for k, v in embedded.state_dict().items() if not k.startswith(fitted)}
    assert all(torch.equal(model.state_dict()[name], part) for name, part in kept.items())
    assert model.classifier.out_features == 4 and model.classifier.weight.std() < 0.1
    fit = model.config.temperature, model.config.logit_bias, model.config.class_mean_logits
    assert fit == (1.0, None, None)


def test_the_trainer_lowers_the_loss_of_the_embedded_checkpoint(embedded, tmp_path):
    """Dropout on unstandardised vectors, which a folded classifier reads, hides the gradient."""
    processor = HubertBertProcessor.from_pretrained(DEFAULT_MODEL, trust_remote_code=False)
    clips = [voice(1.0, pitch=90 + 20 * place, seed=place) for place in range(16)]
    sound = torch.cat([processor(audio=[clip])["input_values"] for clip in clips])
    with torch.no_grad():
        labels = embedded(input_values=sound).logits.argmax(-1)
    examples = [
        {"input_values": clip, "labels": label} for clip, label in zip(sound, labels, strict=True)
    ]
    arguments = TrainingArguments(
        str(tmp_path),
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
        per_device_train_batch_size=8,
        max_steps=8,
        logging_steps=1,
        learning_rate=2e-5,
        save_strategy="no",
    )
    model = AutoModelForAudioClassification.from_pretrained(DEFAULT_MODEL, trust_remote_code=True)
    old = folded(model)
    losses = {}
    for name, trained in (("statistics", model), ("folded", old)):
        run = Trainer(trained, arguments, train_dataset=examples)
        run.train()
        losses[name] = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert np.mean(losses["statistics"]) < 0.5 * np.mean(losses["folded"])
    assert np.mean(losses["statistics"][4:]) < np.mean(losses["statistics"][:4])
