"""Waveforms and transcripts to one padded batch."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_models import SPECIAL, WORDS, tiny_processor

PROCESSOR = tiny_processor()
NAMES = ["input_values", "attention_mask", "input_ids", "text_attention_mask"]


def test_each_clip_is_standardised_alone_and_padded_with_zeros():
    batch = PROCESSOR(audio=CLIPS)
    assert batch["input_values"].shape == (4, max(clip.size for clip in CLIPS))
    assert batch["input_values"].dtype == torch.float32
    for row, mask, clip in zip(batch["input_values"], batch["attention_mask"], CLIPS, strict=True):
        assert mask.tolist() == [1] * clip.size + [0] * (row.numel() - clip.size)
        expected = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
        np.testing.assert_allclose(row[: clip.size], expected, atol=1e-5)
        assert not row[clip.size :].any()


def test_one_waveform_is_a_batch_of_one():
    one, many = PROCESSOR(audio=CLIPS[0]), PROCESSOR(audio=[CLIPS[0]])
    assert torch.equal(one["input_values"], many["input_values"])
    assert one["attention_mask"].dtype == torch.int64


def test_tokens_of_mixed_rows():
    batch = PROCESSOR(audio=CLIPS, text=TEXTS)
    assert sorted(batch) == sorted(NAMES)
    ids = {word: index for index, word in enumerate(WORDS)}
    words = ["[CLS]", "kids", "are", "talking", "by", "the", "door", "[SEP]"]
    assert batch["input_ids"][0].tolist() == [ids[word] for word in words]
    assert batch["text_attention_mask"].sum(1).tolist() == [8, 0, 4, 0]
    assert SPECIAL.index("[PAD]") == 0
    assert batch["input_ids"][2].tolist()[4:] == [0] * 4


@pytest.mark.parametrize("texts", [None, [None] * 4, ["", None, "  ", "\n"]])
def test_without_any_transcript_there_are_no_tokens(texts):
    assert sorted(PROCESSOR(audio=CLIPS, text=texts)) == ["attention_mask", "input_values"]


def test_text_alone():
    batch = PROCESSOR(text="leave me")
    assert sorted(batch) == ["input_ids", "text_attention_mask"]
    assert batch["input_ids"].shape == (1, 4)


def test_texts_and_clips_must_match():
    with pytest.raises(ValueError, match="2 texts for 4 clips"):
        PROCESSOR(audio=CLIPS, text=["kids", "dogs"])


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="sampling_rat'"):
        PROCESSOR(audio=CLIPS, sampling_rat=8000)


def test_names_of_the_tensors():
    assert PROCESSOR.model_input_names == NAMES


def test_save_and_load_round_trip(model_folder):
    loaded = AutoProcessor.from_pretrained(model_folder, trust_remote_code=True)
    expected, found = PROCESSOR(audio=CLIPS, text=TEXTS), loaded(audio=CLIPS, text=TEXTS)
    assert sorted(found) == sorted(expected)
    for name in NAMES:
        assert torch.equal(found[name], expected[name]), name
