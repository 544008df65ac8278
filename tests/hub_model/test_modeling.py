"""The model against the same computation by hand, a batch against single clips."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from transformers import BertModel, HubertModel

from hub_model import convolutions
from hub_model.convolutions import masked_group_norm
from hub_model.modeling_hubert_bert import masked_mean
from tests.helpers.model_answers import PROCESSOR, answer, answer_as_in_training, one_by_one
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_models import (
    BERT,
    HUBERT,
    HUBERT_LAYER_NORM,
    tiny_model,
)

# A batch gives what single clips give.


@pytest.mark.parametrize("encoder", [HUBERT, HUBERT_LAYER_NORM], ids=["group", "layer"])
@pytest.mark.parametrize(
    "texts",
    [(None,) * 4, ("kids are talking", "leave me", "dogs", "by the door are kids"), TEXTS],
    ids=["no text", "all text", "mixed"],
)
@pytest.mark.parametrize("batched", [answer, answer_as_in_training])
def test_batch_equals_single(encoder, texts, batched):
    model = tiny_model(audio_config=encoder)
    singles = one_by_one(model, CLIPS, texts)
    batch = batched(model, CLIPS, texts)
    torch.testing.assert_close(batch, singles, atol=1e-4, rtol=0)
    assert (singles.max(0).values - singles.min(0).values).max() > 1e-2  # the clips differ


def test_without_the_masked_norm_a_batch_differs(monkeypatch):
    """The guard of the test above: it would fail with the stock layer."""
    model = tiny_model()

    def stock(hidden_states, norm, lengths):
        return norm(hidden_states)

    monkeypatch.setattr(convolutions, "masked_group_norm", stock)
    batch = answer_as_in_training(model, CLIPS)
    assert (batch - one_by_one(model, CLIPS, (None,) * 4)).abs().max() > 1e-3


@pytest.mark.parametrize("batched", [answer, answer_as_in_training])
def test_threads_may_share_a_model(batched):
    """Batches of several lengths at the same time: nobody's padding is taken for another's."""
    model = tiny_model()
    batches = [[CLIPS[0], CLIPS[1]], [CLIPS[3], CLIPS[2]], [CLIPS[1], CLIPS[3]], [CLIPS[2]]]
    expected = [batched(model, batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: batched(model, batch), batches * 8))
    for number, probabilities in enumerate(found):
        assert torch.equal(probabilities, expected[number % len(batches)])


def test_a_call_leaves_nothing_behind():
    """What the model holds is the same after a call as before, down to plain attributes."""
    model = tiny_model()
    answer(model, CLIPS[:1])  # transformers installs its hooks at the first call

    def held():
        return {
            (name, key): id(value)
            for name, module in model.named_modules()
            for key, value in vars(module).items()
            if not key.startswith("_")
        }

    before = held()
    answer(model, CLIPS)
    assert held() == before


def test_the_answer_does_not_depend_on_earlier_batches():
    model = tiny_model()
    before = answer(model, [CLIPS[0]])
    answer(model, CLIPS)
    assert torch.equal(answer(model, [CLIPS[0]]), before)


# The parts.


def norm(groups: int = 4) -> nn.GroupNorm:
    torch.manual_seed(0)
    layer = nn.GroupNorm(groups, 8, eps=1e-3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_masked_norm_equals_the_stock_norm_without_padding(groups):
    stock = norm(groups)
    frames = torch.randn(3, 8, 20)
    masked = masked_group_norm(frames, stock, torch.tensor([20, 20, 20]))
    torch.testing.assert_close(masked, stock(frames), atol=1e-5, rtol=1e-5)


def test_masked_norm_leaves_padding_out():
    stock = norm()
    frames = torch.randn(2, 8, 20)
    frames[1, :, 12:] = 100.0
    masked = masked_group_norm(frames, stock, torch.tensor([20, 12]))
    torch.testing.assert_close(masked[1:, :, :12], stock(frames[1:, :, :12]))
    assert (stock(frames)[1, :, :12] - masked[1, :, :12]).abs().max() > 0.1


def test_masked_norm_keeps_half_precision():
    stock = norm()
    frames = torch.randn(2, 8, 20)
    expected = stock(frames)
    half = masked_group_norm(frames.half(), stock.half(), torch.tensor([20, 20]))
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), expected, atol=1e-2, rtol=1e-2)


def test_masked_mean():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [99.0, 99.0]], [[5.0, 6.0]] * 3])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert torch.equal(masked_mean(hidden, mask), torch.tensor([[2.0, 3.0], [0.0, 0.0]]))
    assert torch.equal(masked_mean(hidden, mask.bool()), masked_mean(hidden, mask))


def test_the_logits_are_those_of_the_paper_computed_by_hand():
    """Mean of HuBERT's and of BERT's last hidden states, concatenated, one linear layer."""
    model = tiny_model()
    hubert = HubertModel(model.config.audio_config).eval()
    hubert.load_state_dict(model.audio_model.state_dict())
    bert = BertModel(model.config.text_config, add_pooling_layer=False).eval()
    bert.load_state_dict(model.text_model.state_dict())
    for clip, text in zip(CLIPS, ("kids are talking", "leave me", "dogs", "the door"), strict=True):
        inputs = PROCESSOR(audio=[clip], text=[text])
        with torch.no_grad():
            heard = hubert(inputs["input_values"]).last_hidden_state.mean(1)
            read = bert(inputs["input_ids"]).last_hidden_state.mean(1)
            output = model(**inputs)
        features = torch.cat([heard, read], dim=1)
        expected = features @ model.classifier.weight.T + model.classifier.bias
        torch.testing.assert_close(output.logits, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.audio_embedding, heard, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.text_embedding, read, atol=1e-5, rtol=1e-4)


def test_loss_is_the_cross_entropy_of_the_logits():
    model = tiny_model()
    labels = torch.tensor([0, 6, 3, 3])
    with torch.no_grad():
        output = model(**PROCESSOR(audio=CLIPS, text=TEXTS), labels=labels)
    picked = output.logits.log_softmax(-1)[torch.arange(4), labels]
    torch.testing.assert_close(output.loss, -picked.mean())


# A missing modality is normal.


def test_a_missing_modality_is_a_zero_vector():
    model = tiny_model()
    inputs = PROCESSOR(audio=CLIPS[:1], text=["kids are talking"])
    weight, bias = model.classifier.weight, model.classifier.bias
    hidden = model.config.audio_config.hidden_size
    with torch.no_grad():
        both = model(**inputs)
        heard = model(inputs["input_values"])
        read = model(input_ids=inputs["input_ids"])
    assert torch.equal(heard.text_embedding, torch.zeros(1, 16))
    assert torch.equal(read.audio_embedding, torch.zeros(1, 32))
    torch.testing.assert_close(heard.audio_embedding, both.audio_embedding)
    torch.testing.assert_close(heard.logits, both.audio_embedding @ weight[:, :hidden].T + bias)
    torch.testing.assert_close(read.logits, both.text_embedding @ weight[:, hidden:].T + bias)


def test_neither_audio_nor_text_is_refused():
    with pytest.raises(ValueError, match="audio, text, or both"):
        tiny_model()()


# Modality dropout.


def embeddings(model, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of 64 equal clips kept their audio and their text vector."""
    for name, value in settings.items():
        setattr(model.config, name, value)
    inputs = PROCESSOR(audio=CLIPS[3:] * 64, text=["dogs"] * 64)
    torch.manual_seed(0)
    with torch.no_grad():
        output = model(**inputs)
    return output.audio_embedding.any(1), output.text_embedding.any(1)


def test_modalities_are_dropped_in_training_only():
    model = tiny_model()
    audio, text = embeddings(model, text_modality_dropout=0.5, audio_modality_dropout=0.5)
    assert audio.all() and text.all()
    audio, text = embeddings(model.train())
    assert 16 < text.sum() < 48
    assert not audio.all()
    assert (audio | text).all()  # never both


def test_modality_dropout_of_zero_and_one():
    model = tiny_model().train()
    audio, text = embeddings(model, text_modality_dropout=0.0, audio_modality_dropout=0.0)
    assert audio.all() and text.all()
    audio, text = embeddings(model, text_modality_dropout=1.0, audio_modality_dropout=1.0)
    assert audio.all() and not text.any()
    audio, text = embeddings(model, text_modality_dropout=0.0, audio_modality_dropout=1.0)
    assert text.all() and not audio.any()


def test_a_clip_without_a_transcript_keeps_its_audio():
    model = tiny_model(text_modality_dropout=0.0, audio_modality_dropout=1.0).train()
    output = model(**PROCESSOR(audio=CLIPS, text=TEXTS))
    assert output.audio_embedding.any(1).tolist() == [False, True, False, True]
    assert output.text_embedding.any(1).tolist() == [True, False, True, False]


# Training.


def gradients(model) -> dict[str, torch.Tensor]:
    labels = torch.tensor([0, 1, 2, 3])
    model.zero_grad()
    model(**PROCESSOR(audio=CLIPS, text=TEXTS), labels=labels).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def quiet(**settings):
    """A model that trains without any chance in it."""
    config = {"attention_dropout": 0.0, "activation_dropout": 0.0, "layerdrop": 0.0}
    config |= {"hidden_dropout": 0.0, "feat_proj_dropout": 0.0, "apply_spec_augment": False}
    text = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return tiny_model(
        audio_config=HUBERT | config,
        text_config=BERT | text,
        audio_dropout=0.0,
        text_dropout=0.0,
        text_modality_dropout=0.0,
        **settings,
    ).train()


def test_gradients_reach_every_part():
    grads = gradients(quiet())
    for name in (
        "classifier.weight",
        "audio_model.feature_extractor.conv_layers.0.conv.weight",
        "audio_model.feature_extractor.conv_layers.0.layer_norm.weight",
        "audio_model.encoder.layers.0.attention.q_proj.weight",
        "text_model.embeddings.word_embeddings.weight",
        "text_model.encoder.layer.0.attention.self.query.weight",
    ):
        assert grads[name].abs().max() > 0, name


def test_no_parameter_is_unused():
    """An unused parameter stops distributed training."""
    model = quiet()
    unused = {name for name, _ in model.named_parameters()} - set(gradients(model))
    assert unused <= {"audio_model.masked_spec_embed"}


def test_gradient_checkpointing_gives_the_same_gradients():
    model = quiet()
    expected = gradients(model)
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    found = gradients(model)
    assert set(found) == set(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=1e-4, msg=name)
