"""The model against the same computation by hand, a batch against single clips."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForAudioClassification, BertModel, HubertModel

from hub_model import encoders
from hub_model.encoders import masked_group_norm
from hub_model.modeling_hubert_bert import HubertBertForEmotion, masked_mean, masked_std
from tests.hub_model.sounds import CLIPS, TEXTS
from tests.tiny_models import (
    BERT,
    HUBERT,
    HUBERT_LAYER_NORM,
    tiny_config,
    tiny_model,
    tiny_processor,
)

PROCESSOR = tiny_processor()


def answer(model, clips=None, texts=None) -> torch.Tensor:
    """Probabilities ``(batch, 7)``."""
    with torch.no_grad():
        return model(**PROCESSOR(audio=clips, text=texts)).logits.softmax(-1)


def answer_as_in_training(model, clips, texts=None) -> torch.Tensor:
    """The same from one batch of convolutions with masks, as a GPU and training compute it."""
    return model(**PROCESSOR(audio=clips, text=texts)).logits.softmax(-1).detach()


def one_by_one(model, clips, texts) -> torch.Tensor:
    rows = [answer(model, [clip], [text]) for clip, text in zip(clips, texts, strict=True)]
    return torch.cat(rows)


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

    monkeypatch.setattr(encoders, "masked_group_norm", stock)
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


# Saving and loading.


def test_save_and_load_round_trip(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    loaded = HubertBertForEmotion.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    assert torch.equal(answer(loaded, CLIPS, TEXTS), answer(model, CLIPS, TEXTS))


def test_half_precision_is_loaded_as_float32_unless_asked_for(tmp_path):
    model = tiny_model()
    expected = answer(model, CLIPS, TEXTS)
    model.half().save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    for dtype in (None, "auto"):
        loaded = HubertBertForEmotion.from_pretrained(tmp_path, dtype=dtype)
        assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(answer(loaded, CLIPS, TEXTS), expected, atol=1e-2, rtol=0)
    for dtype in (torch.float16, torch.bfloat16):
        half = HubertBertForEmotion.from_pretrained(tmp_path, dtype=dtype)
        assert {weight.dtype for weight in half.parameters()} == {dtype}


@pytest.fixture
def checkpoint(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")

    def rewrite(**changes):
        for name, weight in changes.items():
            name = name.replace("__", ".")
            if weight is None:
                del weights[name]
            else:
                weights[name] = weight
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return rewrite


@pytest.mark.parametrize(
    ("changes", "problem", "named"),
    [
        ({"classifier__weight": None, "classifier__bias": None}, "missing", "classifier.bias"),
        ({"stray__weight": torch.ones(3)}, "unexpected", "stray.weight"),
        ({"classifier__weight": torch.ones(5, 48)}, "mismatched", "classifier.weight"),
    ],
    ids=["missing head", "unexpected key", "wrong shape"],
)
def test_a_model_with_random_parts_is_refused(checkpoint, changes, problem, named):
    folder = checkpoint(**changes)
    with pytest.raises(ValueError, match=problem) as error:
        HubertBertForEmotion.from_pretrained(folder)
    assert named in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_loading_info_can_be_asked_for(checkpoint):
    model, info = HubertBertForEmotion.from_pretrained(checkpoint(), output_loading_info=True)
    assert isinstance(model, HubertBertForEmotion)
    assert not info["missing_keys"]


def test_auto_class_refuses_a_missing_head_too(model_folder, tmp_path):
    folder = tmp_path / "headless"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing keys in the weights: classifier\.weight"):
        AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=True)


# Starting from pretrained encoders.


def test_from_encoders_keeps_their_weights(tmp_path):
    torch.manual_seed(3)
    config = tiny_config()
    hubert, bert = HubertModel(config.audio_config), BertModel(config.text_config)
    hubert.save_pretrained(tmp_path / "hubert")
    bert.half().save_pretrained(tmp_path / "bert")
    model = HubertBertForEmotion.from_encoders(
        str(tmp_path / "hubert"), str(tmp_path / "bert"), window_s=7.5
    )
    assert model.config.window_s == 7.5
    assert model.config.audio_config.hidden_size == 32
    for part, encoder in ((model.audio_model, hubert), (model.text_model, bert.float())):
        stored = encoder.state_dict()
        for name, weight in part.state_dict().items():
            assert torch.equal(weight, stored[name]), name
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not any(name.startswith("text_model.pooler") for name in model.state_dict())


def test_from_encoders_with_random_weights(tmp_path):
    HubertModel(tiny_config().audio_config).save_pretrained(tmp_path)
    model = HubertBertForEmotion.from_encoders(str(tmp_path), BERT)
    assert model.config.text_config.hidden_size == 16


def test_from_encoders_refuses_an_encoder_with_missing_weights(tmp_path):
    config = tiny_config().audio_config
    encoder = HubertModel(config)
    weights = encoder.state_dict()
    del weights["encoder.layer_norm.weight"]
    encoder.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(
        ValueError, match=r"no weights for encoder\.layer_norm\.weight \(1 in all\)"
    ):
        HubertBertForEmotion.from_encoders(str(tmp_path), BERT)


def test_from_encoders_names_what_cannot_be_found(tmp_path):
    with pytest.raises(OSError, match="no-such"):
        HubertBertForEmotion.from_encoders(str(tmp_path / "no-such"), BERT)


# Pooling.


@pytest.mark.parametrize("encoder", [HUBERT, HUBERT_LAYER_NORM], ids=["group", "layer"])
def test_mean_and_deviation_of_all_layers_by_hand(encoder):
    settings = {"audio_pooling": "mean_std", "use_weighted_layer_sum": True}
    model = tiny_model(audio_config=encoder, **settings)
    weights = torch.tensor([0.5, -1.0, 2.0])
    model.layer_weights.data = weights
    inputs = PROCESSOR(audio=[CLIPS[0]])
    with torch.no_grad():
        layers = model.audio_model(inputs["input_values"], output_hidden_states=True).hidden_states
        found = model(**inputs).audio_embedding[0]
    layer_sum = (torch.stack(layers) * weights.softmax(-1)[:, None, None, None]).sum(0)[0]
    expected = torch.cat([layer_sum.mean(0), layer_sum.std(0, correction=0)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert found.shape == (model.config.audio_embedding_size,)


def test_layers_side_by_side_by_hand():
    model = tiny_model(audio_pooling="mean_std", concatenate_layers=True)
    inputs = PROCESSOR(audio=[CLIPS[0]])
    with torch.no_grad():
        layers = model.audio_model(inputs["input_values"], output_hidden_states=True).hidden_states
        found = model(**inputs).audio_embedding[0]
    moments = [[layer[0].mean(0), layer[0].std(0, correction=0)] for layer in layers]
    expected = torch.cat([vector for pair in moments for vector in pair])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert found.shape == (model.config.audio_embedding_size,) == (3 * 2 * 32,)


def test_layers_are_either_summed_or_side_by_side():
    with pytest.raises(ValueError, match="exclude each other"):
        tiny_config(use_weighted_layer_sum=True, concatenate_layers=True)


@pytest.mark.parametrize("layers", ["use_weighted_layer_sum", "concatenate_layers"])
def test_batch_equals_single_with_deviation_and_all_layers(layers):
    model = tiny_model(audio_pooling="mean_std", **{layers: True})
    singles = one_by_one(model, CLIPS, TEXTS)
    torch.testing.assert_close(answer(model, CLIPS, TEXTS), singles, atol=1e-4, rtol=0)


def test_deviation_without_a_clip_is_a_zero_vector():
    model = tiny_model(audio_pooling="mean_std")
    with torch.no_grad():
        embedding = model(**PROCESSOR(text=["kids"])).audio_embedding
    assert embedding.shape == (1, model.config.audio_embedding_size)
    assert not embedding.any()


def test_deviation_of_a_constant_has_a_gradient():
    frames = torch.ones(1, 3, 2, requires_grad=True)
    mask = torch.ones(1, 3)
    masked_std(frames, mask, masked_mean(frames, mask)).sum().backward()
    assert torch.isfinite(frames.grad).all()


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="audio_pooling must be mean or mean_std, not 'max'"):
        tiny_config(audio_pooling="max")
