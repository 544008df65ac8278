"""MobileNetV2 on spectrogram images."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from hub_model.audio import AudioError
from speech_emotion import baselines
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips
from speech_emotion.baselines.spectrogram_cnn import MobileNetBaseline, drawn, new_model, to_blocks
from speech_emotion.baselines.spectrograms import images, levels
from tests.helpers.toy_corpus import tone

TINY = {"pretrained": "", "model": {"depth_multiplier": 0.1}}


def test_the_network_sees_the_image_from_minus_one_to_one():
    model, _ = new_model(**TINY)
    model.eval()
    clip = tone(700, seconds=2.0)
    pixels = torch.from_numpy(images(clip)).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert pixels.shape == (2, 3, 257, 251)
    with torch.no_grad():
        torch.testing.assert_close(
            model(torch.from_numpy(levels(clip))), model.network(pixel_values=pixels).logits
        )


@pytest.mark.parametrize(("gender", "classes"), [(False, 7), (True, 14)])
def test_the_classes_are_emotions_or_emotions_by_gender(gender, classes):
    """Paper, section III-C.1: experiments 1.2 and 1.4, and 1.1 and 1.3."""
    model, _ = new_model(gender=gender, **TINY)
    assert model.network.classifier.out_features == classes


def test_batch_norm_remembers_more_than_one_batch():
    model, _ = new_model(**TINY)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and {norm.momentum for norm in norms} == {0.1}


def test_a_pretrained_network_gets_a_new_head(tmp_path):
    config = MobileNetV2Config(depth_multiplier=0.1, num_labels=5)
    old = MobileNetV2ForImageClassification(config)
    old.save_pretrained(tmp_path)
    model, start = new_model(pretrained=str(tmp_path), gender=True)
    assert start == {"weights": "pretrained", "from": str(tmp_path)}
    assert model.network.classifier.out_features == 14
    torch.testing.assert_close(
        model.network.mobilenet_v2.conv_stem.first_conv.convolution.weight,
        old.mobilenet_v2.conv_stem.first_conv.convolution.weight,
    )


def test_without_the_pretrained_network_it_says_that_the_weights_are_random(tmp_path):
    missing = str(tmp_path / "nothing")
    _, start = new_model(pretrained=missing, model={"depth_multiplier": 0.1})
    assert start["weights"] == "random" and start["not_found"] == missing and start["reason"]


def test_an_unknown_argument_of_the_model_is_one_line():
    with pytest.raises(BaselineError, match="^model: .*depth_multiplyer") as error:
        new_model(pretrained="", model={"depth_multiplyer": 1})
    assert "\n" not in str(error.value)


def split(labels: list[int], genders: list[str | None]) -> Dataset:
    return Dataset.from_dict({"label": labels, "gender": genders})


def test_classes_of_blocks_with_and_without_gender():
    rows = split([0, 6], ["female", "male"])
    clips = Clips(rows=rows, kept=[0, 1], values=[2, 3], left_out={})
    made = np.zeros((5, 257, 251), dtype=np.uint8)
    plain = to_blocks(clips, made, gender=False)
    assert plain.targets.tolist() == [0, 0, 6, 6, 6] and plain.clips.tolist() == [0, 0, 1, 1, 1]
    assert to_blocks(clips, made, gender=True).targets.tolist() == [0, 0, 13, 13, 13]


def test_a_clip_without_gender_is_one_line():
    clips = Clips(rows=split([0, 1], ["female", None]), kept=[0, 1], values=[1, 1], left_out={})
    with pytest.raises(BaselineError, match="^1 clips are neither female nor male"):
        to_blocks(clips, np.zeros((2, 257, 251), dtype=np.uint8), gender=True)


def test_a_share_of_the_clips_is_drawn_within_each_emotion():
    rows = split([0] * 40 + [1] * 20 + [2], [None] * 61)
    labels = drawn(rows, share=0.1, seed=0)["label"][:]
    assert sorted(labels) == [0] * 4 + [1] * 2 + [2]
    assert drawn(rows, share=1, seed=0) is rows


def test_a_trained_baseline_is_loaded_as_it_was_and_folds_genders(train, waveforms):
    settings = {"num_train_epochs": 1, "per_device_train_batch_size": 8, **TINY}
    folder, results = train("mobilenet_v2", gender=True, **settings)
    assert results["initialisation"] == {"weights": "random"}
    assert results["blocks"] == {"train": 42, "validation": 14}
    baseline = baselines.load(folder)
    assert baseline.config["image_shape"] == [257, 251, 3]
    found = baseline.predict_proba(waveforms)
    assert found.shape == (7, 7) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    with torch.no_grad():
        logits = baseline.model(torch.from_numpy(levels(waveforms[2])))
    chances = torch.softmax(logits.double(), dim=1)[0].reshape(7, 2).sum(dim=1)
    np.testing.assert_allclose(found[2], chances, atol=1e-6)


def test_a_clip_shorter_than_a_block_is_named_by_its_number(waveforms):
    model, _ = new_model(**TINY)
    baseline = MobileNetBaseline(config={"decision_shift": 1.0}, model=model)
    with pytest.raises(AudioError, match=r"^clip 1: 0.50 s of audio, MobileNetV2 needs a block"):
        baseline.predict_proba([waveforms[0], waveforms[1][:8000]])
