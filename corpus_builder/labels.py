"""How the labels of each corpus map to the emotions (paper, section III-A)."""

from collections.abc import Mapping

from hub_model.labels import EMOTIONS, NEUTRAL

VOTE_CLASSES = (*EMOTIONS, NEUTRAL)
"""Order of the shares in the column ``votes``."""

LABEL_MAPS: Mapping[str, Mapping[str, str]] = {
    "ravdess": {NEUTRAL: NEUTRAL} | {name: name for name in EMOTIONS},
    "tess": {
        "angry": "angry",
        "disgust": "disgust",
        "fear": "fearful",
        "happy": "happy",
        "ps": "surprised",
        "sad": "sad",
        "neutral": NEUTRAL,
    },
    "crema_d": {
        "ANG": "angry",
        "DIS": "disgust",
        "FEA": "fearful",
        "HAP": "happy",
        "SAD": "sad",
        "NEU": NEUTRAL,
    },
    "savee": {
        "a": "angry",
        "d": "disgust",
        "f": "fearful",
        "h": "happy",
        "sa": "sad",
        "su": "surprised",
        "n": NEUTRAL,
    },
    # Removed as in the paper: xxx, oth, fru; and exc, unless it is read as happy.
    "iemocap": {
        "ang": "angry",
        "dis": "disgust",
        "fea": "fearful",
        "hap": "happy",
        "sad": "sad",
        "sur": "surprised",
        "neu": NEUTRAL,
    },
    "csv": {
        "anger": "angry",
        "fear": "fearful",
        "happiness": "happy",
        "sadness": "sad",
        "surprise": "surprised",
        NEUTRAL: NEUTRAL,
    }
    | {name: name for name in EMOTIONS},
}
"""Per corpus: source label -> emotion. A source label that is not listed is removed."""


def class_names(*, keep_neutral: bool = False) -> tuple[str, ...]:
    """Return the class names in label-id order, seven or, with neutral, eight."""
    return (*EMOTIONS, NEUTRAL) if keep_neutral else EMOTIONS


def harmonise(corpus: str, source_label: str, *, keep_neutral: bool = False) -> str | None:
    """Return the emotion of a corpus's label, or None when the label is removed.

    Raises:
        KeyError: there is no label map for this corpus.
    """
    emotion = LABEL_MAPS[corpus].get(source_label)
    return emotion if emotion in class_names(keep_neutral=keep_neutral) else None
