"""Both kinds of Whisper, tiny and untrained: what they hear is nonsense, but always the same."""

import hashlib
import json
import logging
import shutil
import time

import numpy as np
import pytest
import torch
import whisper
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    HubertForCTC,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    pipeline,
)

from hub_model.transcript import TranscriberUnavailable, Transcript, sensible
from hub_model.transcription import TransformersTranscriber, make_transcriber
from hub_model.whisper_packages import OpenAIWhisperTranscriber
from tests.helpers.sounds import tone
from tests.helpers.tiny_models import HUBERT

SHORT = [tone(200, 1.0), tone(900, 2.0, seed=1), tone(3000, 3.0, seed=2)]
LONG = [tone(500, 31.0, seed=3), tone(1500, 40.0, seed=4)]


def texts(transcripts) -> list[str]:
    return [transcript.text for transcript in transcripts]


@pytest.fixture(scope="module", params=["openai", "transformers"])
def transcriber(request, openai_whisper, transformers_whisper):
    """One classifier of each kind, chosen by name as a user would."""
    names = {
        "openai": f"openai-whisper:{openai_whisper}",
        "transformers": str(transformers_whisper),
    }
    return make_transcriber(names[request.param])


def test_a_batch_hears_what_single_clips_hear(transcriber):
    singles = [transcriber.transcribe([clip])[0] for clip in SHORT]
    batch = transcriber.transcribe(SHORT)
    assert texts(batch) == texts(singles)
    for one, other in zip(batch, singles, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert len(set(texts(singles))) == 3  # otherwise a mix-up could not be seen
    assert all(text and text == text.strip() for text in texts(singles))


def test_long_and_short_clips_share_a_batch(transcriber):
    clips = [SHORT[0], LONG[0], SHORT[1], LONG[1]]
    singles = [transcriber.transcribe([clip])[0] for clip in clips]
    assert texts(transcriber.transcribe(clips)) == texts(singles)
    assert len(set(texts(singles))) == 4


def test_a_long_clip_is_read_to_its_end(transcriber):
    beginning = LONG[1][: 30 * 16_000]
    (whole,), (part,) = transcriber.transcribe([LONG[1]]), transcriber.transcribe([beginning])
    assert len(whole.text) > len(part.text)


def test_no_clips_give_no_texts(transcriber):
    assert transcriber.transcribe([]) == []


def test_the_name_says_where_the_text_came_from(openai_whisper, transformers_whisper):
    assert make_transcriber(str(transformers_whisper)).name == str(transformers_whisper)
    name = f"openai-whisper:{openai_whisper}"
    assert make_transcriber(name).name == name


def test_openai_transcriber_gives_what_the_package_gives(openai_whisper):
    """The reference is the short example of the package's own introduction."""
    model = whisper.load_model(str(openai_whisper), device="cpu")
    spectrogram = whisper.log_mel_spectrogram(whisper.pad_or_trim(SHORT[1]))
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    expected = whisper.decode(model, spectrogram, options)
    (found,) = OpenAIWhisperTranscriber(str(openai_whisper)).transcribe([SHORT[1]])
    assert found.text == expected.text.strip()
    assert found.confidence == pytest.approx(np.exp(expected.avg_logprob))


def test_transformers_transcriber_gives_what_the_stock_pipeline_gives(transformers_whisper):
    stock = pipeline("automatic-speech-recognition", model=str(transformers_whisper))
    expected = [
        stock({"raw": SHORT[1], "sampling_rate": 16_000})["text"].strip(),
        stock({"raw": LONG[0], "sampling_rate": 16_000}, return_timestamps=True)["text"].strip(),
    ]
    found = TransformersTranscriber(str(transformers_whisper)).transcribe([SHORT[1], LONG[0]])
    assert texts(found) == expected


def test_the_confidence_is_that_of_the_tokens_computed_by_hand(transformers_whisper):
    """The reference runs the decoder once over the finished text."""
    transcriber = TransformersTranscriber(str(transformers_whisper))
    (found,) = transcriber.transcribe([SHORT[1]])
    processor = WhisperProcessor.from_pretrained(transformers_whisper)
    model = WhisperForConditionalGeneration.from_pretrained(transformers_whisper).eval()
    features = processor(SHORT[1], sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        written = model.generate(features, num_beams=5, force_unique_generate_call=True)
        logits = model(features, decoder_input_ids=written[:, :-1]).logits[0]
    logprobs = logits.log_softmax(-1).gather(1, written[0, 1:, None])[1:]
    assert found.confidence == pytest.approx(float(logprobs.mean().exp()), abs=1e-4)


def test_a_short_context_hears_what_a_model_of_that_context_hears(
    openai_whisper, transformers_whisper, tmp_path
):
    """The reference is the same weights in a model whose window is 2.5 s long."""
    clip = SHORT[0]
    data = torch.load(openai_whisper)
    data["dims"]["n_audio_ctx"] = 125
    positions = data["model_state_dict"]["encoder.positional_embedding"]
    data["model_state_dict"]["encoder.positional_embedding"] = positions[:125]
    torch.save(data, tmp_path / "short.pt")
    small = whisper.load_model(str(tmp_path / "short.pt"), device="cpu")
    spectrogram = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip))[:, :250]
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    expected = whisper.decode(small, spectrogram, options).text.strip()
    short = make_transcriber(f"openai-whisper:{openai_whisper}", short_context=True)
    assert texts(short.transcribe([clip])) == [expected]
    assert short._loaded.dims.n_audio_ctx == 1500  # the model itself is as it was
    assert short._loaded.encoder.positional_embedding.shape[0] == 1500

    shutil.copytree(transformers_whisper, tmp_path / "short")
    weights = load_file(tmp_path / "short" / "model.safetensors")
    name = "model.encoder.embed_positions.weight"
    weights[name] = weights[name][:125].clone()
    save_file(weights, tmp_path / "short" / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    config["max_source_positions"] = 125
    (tmp_path / "short" / "config.json").write_text(json.dumps(config))
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "short").eval()
    processor = WhisperProcessor.from_pretrained(transformers_whisper)
    features = processor(clip, sampling_rate=16_000, return_tensors="pt").input_features
    written = model.generate(features[:, :, :250])
    expected = processor.batch_decode(written, skip_special_tokens=True)[0].strip()
    short = make_transcriber(str(transformers_whisper), short_context=True)
    assert texts(short.transcribe([clip])) == [expected]


def test_a_short_context_does_not_depend_on_the_batch(openai_whisper, transformers_whisper):
    clips = [SHORT[0], LONG[0], SHORT[2], SHORT[1]]
    for name in (f"openai-whisper:{openai_whisper}", str(transformers_whisper)):
        short = make_transcriber(name, short_context=True)
        singles = [short.transcribe([clip])[0] for clip in clips]
        assert texts(short.transcribe(clips)) == texts(singles)
        full = make_transcriber(name).transcribe([LONG[0]])
        assert texts(full) == [singles[1].text]  # a long clip is read as ever


def test_a_long_clip_gets_the_same_text_whatever_was_drawn_before(openai_whisper):
    transcriber = OpenAIWhisperTranscriber(str(openai_whisper))
    heard = set()
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        heard.update(transcriber.transcribe(LONG[:1]))
    assert len(heard) == 1
    (transcript,) = heard
    assert 0 < transcript.confidence < 1


def test_transcribing_leaves_the_random_numbers_of_the_caller_alone(openai_whisper):
    transcriber = OpenAIWhisperTranscriber(str(openai_whisper))
    transcriber.load()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    transcriber.transcribe(LONG[:1])
    assert torch.equal(torch.rand(3), expected)


def test_a_language_does_not_stop_an_english_only_model(openai_whisper, transformers_whisper):
    for name in (f"openai-whisper:{openai_whisper}", str(transformers_whisper)):
        plain = make_transcriber(name).transcribe(SHORT[:1])
        assert make_transcriber(name, language="en").transcribe(SHORT[:1]) == plain


def test_an_english_only_model_refuses_another_language(openai_whisper, transformers_whisper):
    for name in (f"openai-whisper:{openai_whisper}", str(transformers_whisper)):
        transcriber = make_transcriber(name, language="pl")
        for _ in range(2):
            with pytest.raises(TranscriberUnavailable, match="English only, and not pl$"):
                transcriber.transcribe(SHORT[:1])


def test_a_text_that_repeats_itself_is_no_transcript():
    spoken = (
        "She had your dark suit in greasy wash water all year, and nobody asked her why she did "
        "not simply buy another one for the weekend."
    )
    for text in (spoken, "no no no"):
        assert sensible(Transcript(text, 0.5), is_cut=True) == Transcript(text, 0.5)
    text = "I don't know what to do, " * 20
    assert sensible(Transcript(text, 0.9), is_cut=False).text == text
    assert sensible(Transcript(". . . ?", 0.9), is_cut=False) == Transcript("")
    looped = sensible(Transcript(text, 0.9), is_cut=True)
    assert not looped.text and looped.error == "the transcriber repeated itself"


def test_the_number_of_tokens_is_bounded_by_the_length(monkeypatch, transformers_whisper):
    transcriber = make_transcriber(str(transformers_whisper))
    transcriber.load()
    model = transcriber._loaded.model
    model.generation_config.max_length = 448
    asked = []

    def generate(**options):
        asked.append(options["max_length"])
        raise StopIteration

    monkeypatch.setattr(model, "generate", generate)
    for clip in (SHORT[0], tone(300, 4.0), tone(300, 30.0)):
        with pytest.raises(StopIteration):
            transcriber.transcribe([clip])
    assert asked == [36, 72, 384]


def test_half_precision_is_read_in_single_precision_on_a_cpu(tmp_path, transformers_whisper):
    half = shutil.copytree(transformers_whisper, tmp_path / "half")
    config = json.loads((half / "config.json").read_text()) | {"dtype": "float16"}
    (half / "config.json").write_text(json.dumps(config))
    weights = load_file(half / "model.safetensors")
    save_file(
        {name: value.half() for name, value in weights.items()},
        half / "model.safetensors",
        metadata={"format": "pt"},
    )
    transcriber = make_transcriber(str(half))
    transcriber.load()
    assert transcriber._loaded.model.dtype == torch.float32


def test_a_classifier_that_is_not_whisper(tmp_path):
    """CTC, whose pipeline tells no confidence; batches of any length."""
    vocabulary = {
        letter: index for index, letter in enumerate(["<pad>", "|", *"abcdefgh", "<unk>"])
    }
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    torch.manual_seed(0)
    config = AutoConfig.for_model(**HUBERT | {"vocab_size": len(vocabulary), "pad_token_id": 0})
    model = HubertForCTC(config)
    torch.nn.init.normal_(model.lm_head.weight)
    model.save_pretrained(tmp_path)
    Wav2Vec2CTCTokenizer(
        str(tmp_path / "vocab.json"), pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path)
    found = make_transcriber(str(tmp_path)).transcribe([SHORT[0], SHORT[1]])
    assert all(row.text for row in found) and found[0].text != found[1].text
    assert [row.confidence for row in found] == [None, None]
    timed = make_transcriber(str(tmp_path)).transcribe_words(SHORT[1])
    assert timed is not None and timed.text == found[1].text
    assert "".join(word.text for word in timed.words).split() == timed.text.split()
    assert 0 <= timed.words[0].start < timed.words[-1].end <= 2.1


@pytest.mark.parametrize("name", ["none", None])
def test_none_is_no_transcriber(name):
    assert make_transcriber(name) is None


def refused(name: str) -> str:
    transcriber = make_transcriber(name)
    with pytest.raises(TranscriberUnavailable) as error:
        transcriber.load()
    with pytest.raises(TranscriberUnavailable):
        transcriber.transcribe([np.zeros(16_000, dtype=np.float32)])
    message = str(error.value)
    assert "\n" not in message and message.startswith(name)
    return message


def test_an_unknown_openai_name_lists_the_known_ones():
    assert "base.en" in refused("openai-whisper:enormous")


def test_an_openai_model_that_is_not_cached_is_not_downloaded_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "offline" in refused("openai-whisper:base.en")


def test_an_openai_model_in_the_cache_is_found_offline(monkeypatch, tmp_path, openai_whisper):
    """Whisper checks the hash of a cached file, so the tiny file stands in under its own hash."""
    data = openai_whisper.read_bytes()
    url = f"https://example.invalid/{hashlib.sha256(data).hexdigest()}/tiny.en.pt"
    monkeypatch.setitem(whisper._MODELS, "tiny.en", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "tiny.en.pt").write_bytes(data)
    # The real tiny.en has alignment heads of its own size.
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "tiny.en", None)
    expected = OpenAIWhisperTranscriber(str(openai_whisper)).transcribe(SHORT[:1])
    assert make_transcriber("openai-whisper:tiny.en").transcribe(SHORT[:1]) == expected


def test_a_file_that_is_no_whisper_model_is_refused(tmp_path):
    text = tmp_path / "notes.pt"
    text.write_text("not a model")
    refused(f"openai-whisper:{text}")
    other = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(2)}, other)
    refused(f"openai-whisper:{other}")


def test_a_hub_id_that_is_not_cached_is_refused_offline():
    assert "offline" in refused("nobody/no-such-classifier")


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    assert "cannot be reached" in refused("nobody/no-such-classifier")
    assert time.perf_counter() - started < 10  # the retries of transformers take 23 s for a file


def test_a_folder_that_is_no_classifier_is_refused(tmp_path):
    refused(str(tmp_path))
    refused(str(tmp_path / "missing"))


def test_nothing_is_loaded_before_it_is_needed(transformers_whisper, caplog):
    with caplog.at_level(logging.DEBUG):
        transcriber = TransformersTranscriber("nobody/no-such-classifier")
    assert transcriber.name == "nobody/no-such-classifier"
    assert not caplog.records
