"""Both kinds of Whisper, tiny and untrained: what they hear is nonsense, but always the same."""

import hashlib
import logging

import numpy as np
import pytest
import torch
import whisper
from transformers import pipeline

from hub_model.transcription import (
    OpenAIWhisperTranscriber,
    TranscriberUnavailable,
    TransformersTranscriber,
    make_transcriber,
)
from tests.hub_model.sounds import tone

SHORT = [tone(200, 1.0), tone(900, 2.0, seed=1), tone(3000, 3.0, seed=2)]
LONG = [tone(500, 31.0, seed=3), tone(1500, 40.0, seed=4)]


@pytest.fixture(scope="module", params=["openai", "transformers"])
def transcriber(request, openai_whisper, transformers_whisper):
    """One recogniser of each kind, chosen by name as a user would."""
    names = {
        "openai": f"openai-whisper:{openai_whisper}",
        "transformers": str(transformers_whisper),
    }
    return make_transcriber(names[request.param])


def test_a_batch_hears_what_single_clips_hear(transcriber):
    singles = [transcriber.transcribe([clip])[0] for clip in SHORT]
    assert transcriber.transcribe(SHORT) == singles
    assert len(set(singles)) == 3  # otherwise a mix-up could not be seen
    assert all(text and text == text.strip() for text in singles)


def test_long_and_short_clips_share_a_batch(transcriber):
    clips = [SHORT[0], LONG[0], SHORT[1], LONG[1]]
    singles = [transcriber.transcribe([clip])[0] for clip in clips]
    assert transcriber.transcribe(clips) == singles
    assert len(set(singles)) == 4


def test_a_long_clip_is_read_to_its_end(transcriber):
    beginning = LONG[1][: 30 * 16_000]
    assert len(transcriber.transcribe([LONG[1]])[0]) > len(transcriber.transcribe([beginning])[0])


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
    expected = whisper.decode(model, spectrogram, options).text.strip()
    assert OpenAIWhisperTranscriber(str(openai_whisper)).transcribe([SHORT[1]]) == [expected]


def test_transformers_transcriber_gives_what_the_stock_pipeline_gives(transformers_whisper):
    stock = pipeline("automatic-speech-recognition", model=str(transformers_whisper))
    expected = [
        stock({"raw": SHORT[1], "sampling_rate": 16_000})["text"].strip(),
        stock({"raw": LONG[0], "sampling_rate": 16_000}, return_timestamps=True)["text"].strip(),
    ]
    assert (
        TransformersTranscriber(str(transformers_whisper)).transcribe([SHORT[1], LONG[0]])
        == expected
    )


def test_a_long_clip_gets_the_same_text_whatever_was_drawn_before(openai_whisper):
    transcriber = OpenAIWhisperTranscriber(str(openai_whisper))
    texts = set()
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        texts.update(transcriber.transcribe(LONG[:1]))
    assert len(texts) == 1


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
    assert "offline" in refused("nobody/no-such-recogniser")


def test_a_folder_that_is_no_recogniser_is_refused(tmp_path):
    refused(str(tmp_path))
    refused(str(tmp_path / "missing"))


def test_nothing_is_loaded_before_it_is_needed(transformers_whisper, caplog):
    with caplog.at_level(logging.DEBUG):
        transcriber = TransformersTranscriber("nobody/no-such-recogniser")
    assert transcriber.name == "nobody/no-such-recogniser"
    assert not caplog.records
