"""The emotions of other label sets."""

from collections.abc import Sequence

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS, NEUTRAL
from speech_emotion.evaluation import EvaluationError

SYNONYMS: dict[str, tuple[str, ...]] = {
    "angry": ("ang", "anger"),
    "calm": ("cal", "calmness"),
    "disgust": ("dis", "disgusted"),
    "fearful": ("fea", "fear"),
    "happy": ("hap", "happiness", "joy", "exc", "excited"),
    "sad": ("sadness",),
    "surprised": ("sur", "surprise", "ps", "pleasant surprise"),
    NEUTRAL: ("neu", "neutrality"),
}
"""Emotion -> its other names in well-known checkpoints."""

LEFT_OUT = frozenset({"other", "oth", "unknown", "unk", "<unk>", "contempt", "frustrated", "fru"})
"""Labels outside all benchmarks; the remaining probabilities are renormalised."""

_EMOTION_OF = {name: name for name in VOTE_CLASSES} | {
    synonym: name for name, synonyms in SYNONYMS.items() for synonym in synonyms
}


def emotions_of(labels: Sequence[str], *, where: str) -> tuple[str | None, ...]:
    """The emotion of every label of a model; two labels of one emotion are added up.

    Args:
        labels: the model's own, in the order of its ids.
        where: names the model in the message.

    Returns:
        one of the seven emotions, "neutral", or None for a label that is left out.

    Raises:
        EvaluationError: a label is not in the table, or fewer than two emotions are left.

    >>> emotions_of(["neu", "hap", "ang", "Sad"], where="")
    ('neutral', 'happy', 'angry', 'sad')
    """
    names = [" ".join(str(label).lower().replace("_", " ").split()) for label in labels]
    unknown = [
        str(label)
        for label, name in zip(labels, names, strict=True)
        if name not in _EMOTION_OF and name not in LEFT_OUT
    ]
    if unknown:
        raise EvaluationError(
            f"{where}: unknown label {', '.join(unknown)}; known are {', '.join(VOTE_CLASSES)} "
            "and the synonyms in docs/evaluation.md"
        )
    found = tuple(_EMOTION_OF.get(name) for name in names)
    if len(set(found) & set(EMOTIONS)) < 2:
        raise EvaluationError(f"{where}: it predicts fewer than two of {', '.join(EMOTIONS)}")
    return found
