"""The emotions, other label sets, and the labels and scores of an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

EMOTIONS = ("angry", "calm", "disgust", "fearful", "happy", "sad", "surprised")
"""The seven labels of the paper (Table 1), in the order of their ids 0 to 6."""

NEUTRAL = "neutral"
"""The eighth label, id 7, of models and corpora that keep it."""

LABEL_SETS: dict[str, dict[str, str | None]] = {
    "seven_class": {name: name for name in EMOTIONS} | {NEUTRAL: None},
    "four_class": {
        "angry": "angry",
        "calm": "neutral",
        "neutral": "neutral",
        "happy": "happy",
        "sad": "sad",
        "disgust": None,
        "fearful": None,
        "surprised": None,
    },
    "valence": {
        "happy": "positive",
        "calm": "neutral",
        "neutral": "neutral",
        "angry": "negative",
        "disgust": "negative",
        "fearful": "negative",
        "sad": "negative",
        "surprised": None,
    },
    "arousal": {
        "angry": "high",
        "fearful": "high",
        "happy": "high",
        "surprised": "high",
        "calm": "low",
        "neutral": "low",
        "sad": "low",
        "disgust": None,
    },
}
"""Ready-made values of ``labels``, for models of the seven emotions with neutral or without it.
``seven_class`` leaves neutral out. ``four_class`` is what IEMOCAP is mostly scored on, with calm in
the place of neutral. Surprise is left out of the valence, as it may be either, and disgust out of
the arousal."""

VALENCE_AROUSAL = {
    "angry": (-0.51, 0.59),
    "calm": (0.68, -0.46),
    "disgust": (-0.60, 0.35),
    "fearful": (-0.64, 0.60),
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprised": (0.16, 0.88),
    NEUTRAL: (0.0, 0.0),
}
"""Valence and arousal of each emotion, -1 to 1: the mean ratings of Russell and Mehrabian,
"Evidence for a three-factor theory of emotions" (1977). Calm is their "relaxed" and surprised their
"astonished"; neutral is the origin of the scales."""

HIGHEST = 0.99
"""No probability is higher: on voices and rooms that a model has never met, its own certainty is
not evidence of more."""


class Labels:
    """The labels of a result: those of the model, renamed, merged or selected.

    Args:
        names: the model's labels, in the order of their ids.
        labels: a dict from the model's labels to new ones (two that become one are added up, one
            that becomes ``None`` is left out, one that is not mentioned stays); a list of those
            to keep; the name of one of :data:`LABEL_SETS`; or nothing, to keep all.

    Raises:
        ValueError: the model has no such label, there is no such set, or nothing is left.
    """

    def __init__(
        self, names: Sequence[str], labels: Mapping[str, str | None] | Sequence[str] | str | None
    ) -> None:
        if labels is None:
            labels = {}
        elif isinstance(labels, str):
            if labels not in LABEL_SETS:
                raise ValueError(
                    f"labels: no set is called {labels!r}, there are {', '.join(LABEL_SETS)}"
                )
            chosen = LABEL_SETS[labels]
            labels = {k: v for k, v in chosen.items() if k in names or k != NEUTRAL}
        elif not isinstance(labels, Mapping):
            kept = set(labels)
            labels = {name: None for name in names if name not in kept} | {k: k for k in labels}
        unknown = [str(name) for name in labels if name not in names]
        if unknown:
            raise ValueError(
                f"labels: the model has no {', '.join(unknown)}; it has {', '.join(names)}"
            )
        renamed = [labels.get(name, name) for name in names]
        self.names: list[str] = list(dict.fromkeys(name for name in renamed if name is not None))
        if not self.names:
            raise ValueError("labels: none is left")
        known = set(names) <= set(VALENCE_AROUSAL)
        self._places = np.array([VALENCE_AROUSAL[name] for name in names]) if known else None
        self._sums = np.array([[new == name for new in self.names] for name in renamed], float)

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Add up and renormalise: float ``(..., model's labels)`` to ``(..., new labels)``.

        What the first of several labels has above :data:`HIGHEST` goes to the others, in
        proportion.
        """
        # Where everything that is left has underflown to nothing, all are equally likely.
        kept = np.asarray(probabilities, dtype=float) @ self._sums + 1e-30
        kept /= kept.sum(axis=-1, keepdims=True)
        if len(self.names) == 1:
            return kept
        first = np.arange(len(self.names)) == kept.argmax(axis=-1)[..., None]
        rest = np.where(first, 0.0, kept)
        rest *= (1 - HIGHEST) / rest.sum(axis=-1, keepdims=True)
        certain = kept.max(axis=-1, keepdims=True) > HIGHEST
        return np.where(certain, np.where(first, HIGHEST, rest), kept)

    def named(self, probabilities: np.ndarray) -> dict[str, float]:
        """Probabilities of the model ``(model's labels,)`` by new label."""
        return dict(zip(self.names, self.scores(probabilities).tolist(), strict=True))

    def dimensions(self, probabilities: np.ndarray) -> dict[str, Any] | None:
        """Valence and arousal: the means of :data:`VALENCE_AROUSAL` by probability.

        Args:
            probabilities: of the model ``(model's labels,)``.

        Returns:
            ``valence`` and ``arousal``, -1 to 1, and ``source``, which is ``"probabilities"``;
            ``None`` when the model has other labels than these emotions.
        """
        if self._places is None:
            return None
        valence, arousal = (np.asarray(probabilities, dtype=float) @ self._places).tolist()
        return {"valence": valence, "arousal": arousal, "source": "probabilities"}


def ranked(scores: Mapping[str, float], top_k: int | None = None) -> list[dict[str, Any]]:
    """``[{"label", "score"}]``, the most probable first."""
    rows: list[dict[str, Any]] = [
        {"label": label, "score": score} for label, score in scores.items()
    ]
    return sorted(rows, key=lambda row: row["score"], reverse=True)[:top_k]


def decided(
    scores: Mapping[str, float], abstain_below: float | None
) -> tuple[str | None, float, bool]:
    """The most probable label, its probability, and whether the model abstains.

    The label is ``None`` when it does.
    """
    label = max(scores, key=lambda name: scores[name])
    abstained = abstain_below is not None and scores[label] < abstain_below
    return None if abstained else label, scores[label], abstained


def contributions(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The effect of each modality on the result.

    Args:
        scores: probabilities by label, by modality: ``fused`` and ``audio``, and ``text`` when
            there is a transcript.

    Returns:
        the three (``text`` is ``None`` without a transcript) and ``moved``: the total variation
        distance, 0 to 1, between the fused probabilities and those without the audio, and without
        the text.
    """
    fused, text = scores["fused"], scores.get("text")
    return {
        "audio": dict(scores["audio"]),
        "text": None if text is None else dict(text),
        "fused": dict(fused),
        "moved": {
            "audio": 1.0 if text is None else _distance(fused, text),
            "text": 0.0 if text is None else _distance(fused, scores["audio"]),
        },
    }


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Total variation distance, 0 to 1."""
    return sum(abs(one[label] - other[label]) for label in one) / 2
