"""The emotions of other label sets."""

from collections.abc import Mapping, Sequence

from corpus_builder.labels import LABEL_MAPS, VOTE_CLASSES, plain_word
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError

LEFT_OUT = frozenset({"other", "oth", "unknown", "unk", "<unk>", "contempt", "frustrated", "fru"})
"""Labels outside all benchmarks; the remaining probabilities are renormalised."""

RELATED = frozenset({"exc", "excited"})
"""Labels that are taken for happy where the data does not have them as labels of their own."""

_EMOTION_OF = {**LABEL_MAPS["csv"], **dict.fromkeys(RELATED, "happy")}


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
    names = [plain_word(label) for label in labels]
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


def meaning_of(word: str, words: Mapping[str, str | None]) -> str | None:
    """The label that a word of a data set or model means: an emotion, or the word in lower case.

    Args:
        word: as the data set or the model has it.
        words: of :func:`~corpus_builder.labels.read_label_map`; these go first.

    Returns:
        None for a word that is left out.

    >>> meaning_of("ANG", {}), meaning_of("Bored", {}), meaning_of("Bored", {"bored": "calm"})
    ('angry', 'bored', 'calm')
    """
    chosen = words.get(plain_word(word), word)
    plain = plain_word(chosen or "")
    return plain if plain in RELATED else _EMOTION_OF.get(plain, plain) or None


def labels_meant(
    own: Sequence[str], labels: Sequence[str], words: Mapping[str, str | None]
) -> tuple[str | None, ...]:
    """For every label of a model that of ``labels`` which it means, or None.

    >>> labels_meant(["hap", "excited", "calm"], ["happy", "sad"], {})
    ('happy', 'happy', None)
    """
    meant = []
    for name in own:
        label = meaning_of(name, words)
        if label not in labels:
            label = _EMOTION_OF.get(label or "")
        meant.append(label if label in labels else None)
    return tuple(meant)
