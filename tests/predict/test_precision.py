"""Reduced precision gives nearly the same results, for every pair of encoders."""

import copy

import pytest
import torch

from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.precision import Bf16Linear, Int8Linear, set_precision
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_encoders import SPEECH, TEXT, pair_processor
from tests.helpers.tiny_models import tiny_model

PAIRS = [(speech, "bert") for speech in SPEECH] + [("hubert-base", text) for text in TEXT]


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize(("speech", "text"), PAIRS)
def test_the_answers_stay_close(speech, text, precision):
    model = tiny_model(audio_config=SPEECH[speech], text_config=TEXT[text])
    torch.nn.init.normal_(model.classifier.weight, std=0.3)
    inputs = pair_processor(speech, text)(audio=CLIPS, text=TEXTS)
    with torch.no_grad():
        exact = model(**inputs).logits.softmax(-1)
        found = set_precision(model, precision)(**inputs).logits.softmax(-1)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_batch_gives_nearly_what_singles_give(precision):
    model = set_precision(tiny_model(), precision)
    processor = pair_processor("hubert-base", "bert")
    with torch.no_grad():
        batch = model(**processor(audio=CLIPS)).logits.softmax(-1)
        for row, clip in zip(batch, CLIPS, strict=True):
            alone = model(**processor(audio=[clip])).logits.softmax(-1)[0]
            torch.testing.assert_close(row, alone, atol=0.03, rtol=0)


def _errors_of_the_mean(exact, *found):
    """How far the mean frame is off, for each of several results ``(..., frames, channels)``."""
    return [(one.float() - exact).mean(dim=-2).norm().item() for one in found]


def test_a_linear_layer_in_bfloat16_is_right_on_average():
    torch.manual_seed(0)
    for bias in (True, False):
        exact = torch.nn.Linear(64, 48, bias=bias)
        inputs = torch.randn(2, 500, 64) + 5 * torch.randn(2, 1, 64)
        expected = exact(inputs).detach()
        layer = Bf16Linear(exact)
        ours = layer(inputs)
        stock = exact.to(torch.bfloat16)(inputs.bfloat16())
        assert ours.dtype == torch.bfloat16
        assert ours.shape == expected.shape
        mine, theirs = _errors_of_the_mean(expected, ours, stock)
        assert mine < 0.7 * theirs
        torch.testing.assert_close(layer(inputs[:1]), ours[:1])  # the other row is not heard


def test_a_convolution_in_bfloat16_is_right_on_average_and_silent_in_silence():
    torch.manual_seed(0)
    model = tiny_model(audio_config=SPEECH["hubert-base"])
    conv = model.audio_model.feature_extractor.conv_layers[1].conv
    frames = torch.randn(2000, conv.in_channels).abs()
    frames[1000:] = 0
    frames = frames.bfloat16()
    with torch.no_grad():
        torch.nn.init.normal_(conv.weight)
        exact = model.audio_model.feature_extractor._convolved(conv, frames.float())
        stock = copy.deepcopy(conv).to(torch.bfloat16)(frames.T[None])[0].T
        set_precision(model, "bf16")
        ours = model.audio_model.feature_extractor._convolved(conv, frames)
    mine, theirs = _errors_of_the_mean(exact, ours, stock)
    assert mine < 0.7 * theirs
    assert not ours[len(ours) // 2 + 2 :].any()


def test_in_bfloat16_what_is_cheap_or_broken_stays_exact():
    model = set_precision(tiny_model(), "bf16").audio_model
    assert model.feature_extractor.conv_layers[0].conv.weight.dtype == torch.float32
    assert model.feature_extractor.conv_layers[1].conv.weight.dtype == torch.bfloat16
    assert model.feature_projection.projection.weight.dtype == torch.float32
    norms = [part for part in model.encoder.modules() if isinstance(part, torch.nn.LayerNorm)]
    assert norms and all(norm.weight.dtype == torch.float32 for norm in norms)
    assert model.encoder.pos_conv_embed.conv.weight.dtype == torch.bfloat16
    # 8 channels a group: see MIN_CHANNELS
    narrow = tiny_model(audio_config={**SPEECH["hubert-base"], "num_conv_pos_embedding_groups": 4})
    set_precision(narrow, "bf16")
    assert narrow.audio_model.encoder.pos_conv_embed.conv.weight.dtype == torch.float32


def test_a_frame_in_8_bits_does_not_hear_the_others():
    torch.manual_seed(0)
    layer = Int8Linear(torch.nn.Linear(64, 48))
    frames = torch.randn(1, 5, 64) * torch.tensor([1.0, 50.0, 0.01, 3.0, 7.0])[:, None]
    together = layer(frames)
    for place in range(5):
        torch.testing.assert_close(layer(frames[:, place]), together[:, place])


def test_a_linear_layer_in_8_bits():
    torch.manual_seed(0)
    for bias in (True, False):
        exact = torch.nn.Linear(64, 48, bias=bias)
        inputs = torch.randn(2, 5, 64) * 3 + 1
        found = Int8Linear(exact)(inputs)
        assert found.shape == (2, 5, 48)
        error = (found - exact(inputs)).norm() / exact(inputs).norm()
        assert 0 < error < 0.02
    assert torch.equal(
        Int8Linear(torch.nn.Linear(4, 4, bias=False))(torch.zeros(1, 4)), torch.zeros(1, 4)
    )


def test_the_weights_are_a_quarter_of_their_size():
    model = tiny_model()
    linear = sum(
        module.weight.numel()
        for module in model.audio_model.modules()
        if isinstance(module, torch.nn.Linear)
    )
    before = sum(p.numel() for p in model.audio_model.parameters())
    set_precision(model, "int8")
    after = sum(p.numel() for p in model.audio_model.parameters())
    assert before - after >= linear
    assert not any(type(m) is torch.nn.Linear for m in model.audio_model.modules())
    assert type(model.classifier) is torch.nn.Linear


def test_fp32_changes_nothing(model_folder):
    exact = load_classifier(model_folder)
    asked = load_classifier(model_folder, precision="fp32")
    for name, weight in exact.model.state_dict().items():
        assert torch.equal(weight, asked.model.state_dict()[name])


def test_the_pipeline_takes_a_precision(model_folder):
    exact = load_classifier(model_folder)
    for precision in ("bf16", "int8"):
        rows = load_classifier(model_folder, precision=precision)(
            list(CLIPS), text=["dogs"] * 4, check_speech=False
        )
        for row, expected in zip(
            rows, exact(list(CLIPS), text=["dogs"] * 4, check_speech=False), strict=True
        ):
            assert {e["label"]: e["score"] for e in row} == pytest.approx(
                {e["label"]: e["score"] for e in expected}, abs=0.1
            )


def test_what_there_is_not_is_refused(model_folder):
    with pytest.raises(
        ValueError, match="precision must be auto or fp32 or bf16 or int8, not 'fp8'"
    ):
        load_classifier(model_folder, precision="fp8")
    with pytest.raises(ValueError, match="backend must be torch or onnx, not 'tf'"):
        load_classifier(model_folder, backend="tf")
    with pytest.raises(ValueError, match=r"no onnx/model\.onnx; run speech-emotion export"):
        load_classifier(model_folder, backend="onnx")
