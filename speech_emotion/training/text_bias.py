"""How frequent the emotions are in texts, for text without audio.

The classifier learns from clips, in which emotions are about equally frequent, and what it makes of
a sentence is added to what it makes of the voice. Without a voice nothing says how likely an
emotion is before the words are read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch.nn import Module

from hub_model.labels import EMOTIONS
from speech_emotion.training.batching import text_batches
from speech_emotion.training.goemotions import read_comments

BATCH = 128


@torch.no_grad()
def text_only_logits(model: Module, processor: Any, texts: Sequence[str]) -> np.ndarray:
    """Logits of texts without audio, without a bias: float ``(texts, num_labels)``.

    Texts of similar length share a batch, so that little of it is padding.
    """
    model.eval()
    logits = np.empty((len(texts), model.config.num_labels))
    for part in text_batches(texts, BATCH):
        inputs = processor(text=[texts[index] for index in part])
        logits[part] = model(**inputs).logits.float().numpy()
    return logits


def fit_text_only_bias(model: Module, processor: Any, comments: str) -> list[float]:
    """Fit what :attr:`HubertBertConfig.text_only_bias` adds to the logits of a text.

    Minimises the cross-entropy on the ``dev`` part of GoEmotions. An emotion with n comments weighs
    as much as the square root of n: the order of frequency is kept, and rare emotions are still
    predicted.

    Args:
        model: of the seven emotions, and neutral if it is an eighth label.
        processor: of the model.
        comments: folder or Hub id of GoEmotions.

    Returns:
        (num_labels,); the sum is 0.
    """
    labels = model.config.num_labels
    read = read_comments(comments, "dev")
    ids = np.array([len(EMOTIONS) if label is None else label for label in read.labels])
    used = np.flatnonzero(ids < labels)
    ids = ids[used]
    logits = text_only_logits(model, processor, [read.texts[index] for index in used])
    weights = np.bincount(ids, minlength=labels)[ids] ** -0.5
    weights /= weights.sum()
    one_hot = np.eye(labels)[ids]

    def loss(bias: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(logits + bias, axis=1)
        gradient = weights @ (np.exp(logs) - one_hot)
        return float(-weights @ (logs * one_hot).sum(axis=1)), gradient

    bias = minimize(loss, np.zeros(labels), jac=True, method="L-BFGS-B").x
    return (bias - bias.mean()).tolist()
