"""Every encoder: a batch gives what singles give, it trains, and it travels as a model folder."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    RobertaConfig,
    WhisperFeatureExtractor,
    WhisperModel,
    XLNetConfig,
)

from hub_model import convolutions
from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.convolutions import MaskedFeatureEncoder
from hub_model.encoders import (
    audio_inputs,
    encode_speech,
    load_speech_encoder,
    make_speech_encoder,
    max_tokens,
    prepare_tokenizer,
)
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_encoders import SPEECH, TEXT, WHISPER, pair_processor
from tests.helpers.tiny_models import BERT, HUBERT, tiny_config, tiny_model

PAIRS = [(speech, "bert") for speech in SPEECH] + [("hubert-base", text) for text in TEXT]
PAIRS += [("whisper", "gpt2"), ("wavlm", "xlnet")]


def pair(speech: str, text: str, **settings) -> HubertBertForEmotion:
    return tiny_model(audio_config=SPEECH[speech], text_config=TEXT[text], **settings)


def answer(model, processor, clips, texts) -> torch.Tensor:
    """Logits ``(batch, 7)``: where they agree, so do the probabilities."""
    with torch.no_grad():
        return model(**processor(audio=clips, text=texts)).logits


@pytest.mark.parametrize(("speech", "text"), PAIRS)
@pytest.mark.parametrize(
    "settings", [{}, {"audio_pooling": "mean_std", "use_weighted_layer_sum": True}]
)
def test_a_batch_gives_what_singles_give(speech, text, settings):
    model, processor = pair(speech, text, **settings), pair_processor(speech, text)
    singles = torch.cat(
        [
            answer(model, processor, [clip], [words])
            for clip, words in zip(CLIPS, TEXTS, strict=True)
        ]
    )
    torch.testing.assert_close(answer(model, processor, CLIPS, TEXTS), singles, atol=1e-4, rtol=0)
    masked = model(**processor(audio=CLIPS, text=TEXTS)).logits  # as in training
    torch.testing.assert_close(masked.detach(), singles, atol=1e-4, rtol=0)
    assert (singles.max(0).values - singles.min(0).values).max() > 1e-2  # the clips differ


@pytest.mark.parametrize(("speech", "text"), PAIRS)
def test_it_trains_with_hidden_transcripts(speech, text):
    model, processor = pair(speech, text, text_modality_dropout=0.5), pair_processor(speech, text)
    model.train()
    torch.manual_seed(0)
    batch = processor(audio=CLIPS * 2, text=["kids", "dogs are", "leave me", None] * 2)
    model(**batch, labels=torch.tensor([0, 1, 2, 3, 4, 5, 6, 0])).loss.backward()
    for name in ("classifier", "audio_model", "text_model"):
        grads = [p.grad for p in model.get_submodule(name).parameters() if p.grad is not None]
        assert grads and all(torch.isfinite(grad).all() for grad in grads)
        assert any(grad.any() for grad in grads), name


@pytest.mark.parametrize(("speech", "text"), PAIRS)
def test_it_travels_as_a_model_folder(speech, text, tmp_path):
    model = pair(speech, text)
    here = SpeechTextEmotionPipeline(
        model=model, processor=pair_processor(speech, text), task=PIPELINE_TASK, device="cpu"
    )
    here.save_pretrained(tmp_path)
    there = load(tmp_path)
    for found, expected in zip(
        there(list(CLIPS), text=list(TEXTS)), here(list(CLIPS), text=list(TEXTS)), strict=True
    ):
        same(found, expected, atol=1e-6)


@pytest.mark.parametrize("speech", SPEECH)
def test_the_padding_of_a_batch_is_not_heard(speech):
    """Whatever stands in the padding: the answer is the same, down to the frames."""
    config = tiny_config(audio_config=SPEECH[speech]).audio_config
    torch.manual_seed(0)
    encoder = make_speech_encoder(config).eval()
    batch = list(audio_inputs(pair_processor(speech, "bert").feature_extractor, CLIPS).values())
    with torch.no_grad():
        (states,), frames = encode_speech(encoder, *batch, all_layers=False)
        for row, clip in enumerate(CLIPS):
            extractor = pair_processor(speech, "bert").feature_extractor
            alone = audio_inputs(extractor, [clip]).values()
            (single,), real = encode_speech(encoder, *alone, all_layers=False)
            assert real.all() and frames[row].sum() == real.sum()
            torch.testing.assert_close(states[row, frames[row]], single[0], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("speech", sorted(set(SPEECH) - {"whisper"}))
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_convolutions_in_chunks_give_what_the_whole_gives(speech, chunk, monkeypatch):
    """The reference is the library's own stack, clip by clip."""
    config = tiny_config(audio_config=SPEECH[speech]).audio_config
    stock = AutoModel.from_config(config).eval().feature_extractor
    for layer in stock.conv_layers:
        if hasattr(layer, "layer_norm"):  # as after training
            torch.nn.init.normal_(layer.layer_norm.weight, mean=1, std=0.3)
            torch.nn.init.normal_(layer.layer_norm.bias, std=0.3)
    ours = MaskedFeatureEncoder(stock)
    monkeypatch.setattr(convolutions, "CHUNK", chunk)
    lengths = [16000, 12345, 1600, 700]
    batch = torch.randn(len(lengths), max(lengths)) + 0.5
    with torch.no_grad():
        found = ours(batch, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            expected = stock(batch[row : row + 1, :length])[0]
            assert expected.shape[1] > 0
            torch.testing.assert_close(
                found[row, :, : expected.shape[1]], expected, atol=1e-5, rtol=1e-5
            )


# Whisper's encoder.


def test_whisper_on_the_length_of_the_clip_is_the_encoder_on_that_spectrogram():
    """The reference is the library's own forward, with as many positions as the clip has."""
    frames = -(-CLIPS[0].size // 320)
    config = WHISPER | {"max_source_positions": frames}
    model = tiny_model(audio_config=config, window_s=0.5)
    inputs = audio_inputs(WhisperFeatureExtractor(), [CLIPS[0]])
    assert inputs["input_features"].shape == (1, 80, 2 * frames)
    with torch.no_grad():
        expected = model.audio_model(inputs["input_features"]).last_hidden_state
        (found,), mask = encode_speech(model.audio_model, *inputs.values(), all_layers=False)
    assert mask.all()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_spectrogram_of_a_clip_is_the_beginning_of_that_of_30_s():
    whole = WhisperFeatureExtractor()(CLIPS[1], sampling_rate=16_000, return_tensors="pt")
    inputs = audio_inputs(WhisperFeatureExtractor(), CLIPS)
    expected = whole["input_features"][0, :, : inputs["input_features"].shape[2]]
    torch.testing.assert_close(inputs["input_features"][1], expected, atol=1e-5, rtol=0)


def test_a_whisper_folder_without_a_decoder_will_do(tmp_path):
    torch.manual_seed(0)
    whole = WhisperModel(
        AutoModel.from_config(tiny_config(audio_config=WHISPER).audio_config).config
    )
    weights = {k: v for k, v in whole.state_dict().items() if k.startswith("encoder.")}
    whole.save_pretrained(tmp_path, state_dict=dict(weights))
    model = HubertBertForEmotion.from_encoders(str(tmp_path), BERT)
    for name, weight in model.audio_model.state_dict().items():
        assert torch.equal(weight, weights[f"encoder.{name}"]), name
    del weights["encoder.conv1.weight"]
    whole.save_pretrained(tmp_path, state_dict=dict(weights))
    with pytest.raises(ValueError, match=r"no weights for encoder\.conv1\.weight"):
        load_speech_encoder(str(tmp_path))


def test_a_window_longer_than_whisper_can_read_is_refused():
    with pytest.raises(ValueError, match=r"window_s must be at most 30, not 31"):
        tiny_config(audio_config=WHISPER, window_s=31)


# The voice alone.


def test_a_model_of_the_voice_alone():
    model = tiny_model(use_text=False)
    processor = pair_processor("hubert-base", "bert")
    assert not hasattr(model, "text_model")
    assert model.classifier.in_features == 32
    output = model(**processor(audio=CLIPS))
    assert output.text_embedding.shape == (4, 0)
    with pytest.raises(ValueError, match="takes no text"):
        model(**processor(audio=CLIPS, text=TEXTS))


def test_a_model_of_the_voice_alone_from_an_encoder(tmp_path):
    AutoModel.from_config(tiny_config().audio_config).save_pretrained(tmp_path)
    model = HubertBertForEmotion.from_encoders(str(tmp_path), None)
    assert model.config.use_text is False and model.config.text_config is None
    model.save_pretrained(tmp_path / "saved")
    loaded = HubertBertForEmotion.from_pretrained(tmp_path / "saved")
    assert loaded.config.text_config is None


# What stands for a missing text.


def test_a_learned_vector_stands_for_a_missing_text():
    model = tiny_model(missing_text="learned", text_modality_dropout=0.0)
    processor = pair_processor("hubert-base", "bert")
    vector = torch.arange(16.0)
    model.missing_text.data = vector
    with torch.no_grad():
        mixed = model(**processor(audio=CLIPS, text=TEXTS)).text_embedding
        silent = model(**processor(audio=CLIPS)).text_embedding
    assert torch.equal(mixed[1], vector) and torch.equal(mixed[3], vector)
    assert not torch.equal(mixed[0], vector)
    assert torch.equal(silent, vector.expand(4, 16))
    model.train()
    model.config.text_modality_dropout = 1.0
    hidden = model(**processor(audio=CLIPS, text=["dogs"] * 4))
    assert torch.equal(hidden.text_embedding, vector.expand(4, 16))


def test_the_vector_for_a_missing_text_learns_whatever_the_batch_holds(tmp_path):
    model = tiny_model(missing_text="learned", text_modality_dropout=0.0).train()
    processor = pair_processor("hubert-base", "bert")
    labels = torch.tensor([0, 1, 2, 3])
    model(**processor(audio=CLIPS, text=["dogs"] * 4), labels=labels).loss.backward()
    assert model.missing_text.grad is not None and not model.missing_text.grad.any()
    model(**processor(audio=CLIPS, text=TEXTS), labels=labels).loss.backward()
    assert model.missing_text.grad.any()
    model.missing_text.data += 1
    model.save_pretrained(tmp_path)
    loaded = HubertBertForEmotion.from_pretrained(tmp_path)
    assert torch.equal(loaded.missing_text, model.missing_text)


def test_an_unknown_stand_in_is_refused():
    with pytest.raises(ValueError, match="missing_text must be zero or learned, not 'mean'"):
        tiny_config(missing_text="mean")


# Limits and refusals.


def test_layers_are_never_skipped_where_all_are_pooled():
    model = tiny_model(audio_config=HUBERT | {"layerdrop": 0.9}, use_weighted_layer_sum=True)
    processor = pair_processor("hubert-base", "bert")
    for seed in range(5):
        torch.manual_seed(seed)
        model.train()(**processor(audio=CLIPS))
    whisper = WHISPER | {"encoder_layerdrop": 0.9}
    model = tiny_model(audio_config=whisper, use_weighted_layer_sum=True).train()
    model(**pair_processor("whisper", "bert")(audio=CLIPS))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "bert"}, "bert is neither of the wav2vec 2.0 family nor Whisper"),
        ({"model_type": "wav2vec2", "add_adapter": True}, "add_adapter is not supported"),
    ],
)
def test_a_speech_encoder_of_another_kind_is_refused(config, problem):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(ValueError, match=problem):
        tiny_model(audio_config=config | small | {"conv_dim": [8] * 7})


def test_the_longest_transcript():
    roberta = RobertaConfig(max_position_embeddings=514, pad_token_id=1)
    assert max_tokens(roberta) == 512
    assert max_tokens(HubertBertConfig().text_config) == 512
    assert max_tokens(XLNetConfig()) is None


def test_a_tokenizer_without_a_padding_token_gets_one():
    tokenizer = pair_processor("hubert-base", "gpt2").tokenizer
    assert tokenizer.pad_token == tokenizer.eos_token == "[SEP]"
    assert prepare_tokenizer(None) is None


def test_one_second_gives_fifty_frames_whatever_the_encoder():
    for speech in SPEECH:
        inputs = pair_processor(speech, "bert")(audio=np.ones(16_000, np.float32))
        model = pair(speech, "bert")
        sound = inputs.get("input_values", inputs.get("input_features"))
        _, frames = encode_speech(
            model.audio_model, sound, inputs["attention_mask"], all_layers=False
        )
        assert int(frames.sum()) in (49, 50)
