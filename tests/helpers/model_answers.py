"""What a tiny model answers, in a batch and clip by clip."""

import torch

from tests.helpers.tiny_models import tiny_processor

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
