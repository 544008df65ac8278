"""Table 5."""

import numpy as np
import torch
from torch import nn

from speech_emotion import baselines
from speech_emotion.baselines.cnn1d import clip_input, new_model, num_frames, standardise
from speech_emotion.baselines.features import MEL, frame_features
from tests.helpers.toy_corpus import tone


def test_the_layers_are_those_of_table_5():
    model = new_model()
    kinds = [type(layer).__name__ for layer in model.layers]
    convolution = ["Conv1d", "ReLU"]
    assert kinds == [
        *convolution * 2,
        "BatchNorm1d",
        "Dropout",
        *convolution * 4,
        "BatchNorm1d",
        "Dropout",
        *convolution * 2,
        "Flatten",
        *["Linear", "ReLU"] * 2,
        "Dropout",
        "Linear",
    ]
    convolutions = [layer for layer in model.layers if isinstance(layer, nn.Conv1d)]
    assert [layer.out_channels for layer in convolutions] == [256, 256, *[128] * 4, 64, 64]
    assert {(layer.kernel_size, layer.padding) for layer in convolutions} == {((8,), "same")}
    assert [layer.p for layer in model.layers if isinstance(layer, nn.Dropout)] == [0.6] * 3
    assert model.layers[-1].out_features == 7


def test_the_number_of_weights_is_what_the_layers_add_up_to():
    def layer(inputs: int, outputs: int, kernel: int = 1) -> int:
        return inputs * outputs * kernel + outputs

    convolutions = (
        layer(94, 256, 8)
        + layer(256, 256, 8)
        + layer(256, 128, 8)
        + 3 * layer(128, 128, 8)
        + layer(128, 64, 8)
        + layer(64, 64, 8)
    )
    batch_norms = 2 * 256 + 2 * 128
    dense = layer(94 * 64, 128) + layer(128, 64) + layer(64, 7)
    assert convolutions + batch_norms + dense == 2_251_271
    parameters = new_model().parameters()
    assert sum(parameter.numel() for parameter in parameters) == 2_251_271


def test_three_seconds_are_94_frames():
    assert num_frames(3.0) == 94
    assert len(frame_features(tone(300, seconds=3.0))) == 94


def test_a_short_clip_is_filled_up_and_a_long_one_cut_at_both_ends():
    short = tone(300, seconds=1.0)
    values = clip_input(short, frames=94)
    assert values.shape == (94, 94) and values.dtype == np.float32
    frames = frame_features(short)
    np.testing.assert_array_equal(values[:32, :12], frames[:, :12])
    np.testing.assert_allclose(values[:32, MEL], 10 * np.log10(frames[:, MEL] + 1e-12), atol=0.1)
    assert np.isnan(values[32:]).all()
    long = tone(300, seconds=5.0)
    np.testing.assert_array_equal(
        clip_input(long, frames=94)[:, :12], frame_features(long)[31:125, :12]
    )


def test_what_is_filled_up_counts_as_average():
    model = new_model(seconds=0.5, dense=[8, 8]).eval()
    clips = np.stack([clip_input(tone(200 * n, seconds=0.3), frames=16) for n in (1, 2, 3)])
    standardise(model, clips)
    filled = np.where(np.isnan(clips), np.nanmean(clips, axis=(0, 1)), clips)
    with torch.no_grad():
        torch.testing.assert_close(
            model(torch.from_numpy(clips)), model(torch.from_numpy(filled)), atol=1e-4, rtol=1e-4
        )
    frames = clips[~np.isnan(clips).any(axis=2)]
    standard = (frames - model.mean.numpy()) / model.deviation.numpy()
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-3)


def test_the_penalty_is_over_kernels_alone():
    model = new_model(seconds=0.5, dense=[8, 8])
    kernels = [p for name, p in model.named_parameters() if p.ndim > 1]
    assert len(kernels) == 8 + 3
    expected = sum(0.1 * k.abs().sum() + 0.01 * k.square().sum() for k in kernels)
    torch.testing.assert_close(model.penalty(l1=0.1, l2=0.01), expected)


def test_a_trained_baseline_is_loaded_as_it_was(train, waveforms):
    settings = {"seconds": 1.3, "dense": [32, 16], "dropout": 0.1}
    settings |= {"num_train_epochs": 6, "per_device_train_batch_size": 8}
    folder, results = train("cnn1d", **settings)
    baseline = baselines.load(folder)
    found = baseline.predict_proba(waveforms)
    assert found.shape == (7, 7) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(baseline.predict_proba(waveforms[3:4])[0], found[3], atol=1e-6)
    assert results["validation"]["ua"] > 0.5  # chance is a seventh
    assert len(results["history"]) == 6 and results["clips"] == {"train": 42, "validation": 14}
