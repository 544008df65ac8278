"""The classifier of text without audio.

The common classifier learns from clips, and what it makes of a sentence is added to what it makes
of the voice. Without a voice another layer, fitted to texts alone, is right more often.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import Module

from hub_model.labels import EMOTIONS
from speech_emotion.training.batching import text_batches
from speech_emotion.training.goemotions import read_comments
from speech_emotion.training.parsing import ConfigError

BATCH = 128
REGULARISATION = 0.001
"""``C`` of the logistic regression, chosen on the ``dev`` part of GoEmotions among 0.0005 to
0.03."""


def text_only_logits(model: Module, processor: Any, texts: Sequence[str]) -> np.ndarray:
    """Logits of texts without audio: float ``(texts, num_labels)``."""
    logits = np.empty((len(texts), model.config.num_labels))
    for part, output in _outputs(model, processor, texts):
        logits[part] = output.logits.float().numpy()
    return logits


def fit_text_only_classifier(model: Module, processor: Any, comments: str) -> None:
    """Fit the layer of :attr:`HubertBertConfig.text_only_classifier` to GoEmotions' ``train`` part.

    A logistic regression on the pooled text vectors. An emotion with n comments weighs as much as
    the square root of n: the order of frequency is kept, and rare emotions are still predicted.

    Args:
        model: of the seven emotions, and neutral if it is an eighth label.
        processor: of the model.
        comments: folder or Hub id of GoEmotions.

    Raises:
        ConfigError: they cannot be read, or an emotion has no comment.
    """
    labels = model.config.num_labels
    read = read_comments(comments, "train")
    ids = np.array([len(EMOTIONS) if label is None else label for label in read.labels])
    used = np.flatnonzero(ids < labels)
    ids = ids[used]
    missing = [[*EMOTIONS, "neutral"][label] for label in set(range(labels)) - {*ids}]
    if missing:
        raise ConfigError(f"{comments}: no comment is {' or '.join(sorted(missing))}")
    vectors = np.empty((len(used), model.config.text_embedding_size))
    for part, output in _outputs(model, processor, [read.texts[index] for index in used]):
        vectors[part] = output.text_embedding.float().numpy()
    weights = np.bincount(ids, minlength=labels)[ids] ** -0.5
    scaler = StandardScaler().fit(vectors)
    fitted = LogisticRegression(C=REGULARISATION, max_iter=1000).fit(
        scaler.transform(vectors), ids, sample_weight=weights / weights.mean()
    )
    weight = fitted.coef_ / scaler.scale_
    bias = fitted.intercept_ - weight @ scaler.mean_
    model.set_text_only_classifier(torch.from_numpy(weight), torch.from_numpy(bias))


@torch.no_grad()
def _outputs(
    model: Module, processor: Any, texts: Sequence[str]
) -> Iterator[tuple[list[int], Any]]:
    """Yield numbers of texts and what the model says of them, in batches of similar length."""
    model.eval()
    for part in text_batches(texts, BATCH):
        yield part, model(**processor(text=[texts[index] for index in part]))
