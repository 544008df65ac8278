"""How the labels of each corpus map to the emotions (paper, section III-A)."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from corpus_builder import CorpusError
from hub_model.labels import EMOTIONS, NEUTRAL

VOTE_CLASSES = (*EMOTIONS, NEUTRAL)
"""Order of the shares in the column ``votes``."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "angry": ("ang", "anger"),
    "calm": ("cal", "calmness"),
    "disgust": ("dis", "disgusted"),
    "fearful": ("fea", "fear", "afraid"),
    "happy": ("hap", "happiness", "joy"),
    "sad": ("sadness",),
    "surprised": ("sur", "surprise", "ps", "pleasant surprise"),
    NEUTRAL: ("neu", "neutrality"),
}
"""Emotion -> its other names in well-known checkpoints and in tables of users, in lower case."""

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
    "nemo": {
        "anger": "angry",
        "fear": "fearful",
        "happiness": "happy",
        "sadness": "sad",
        "surprised": "surprised",
        "neutral": NEUTRAL,
    },
    "csv": {name: name for name in VOTE_CLASSES}
    | {word: name for name, words in SYNONYMS.items() for word in words},
}
"""Per corpus: source label -> emotion. A source label that is not listed is removed."""


def class_names(*, keep_neutral: bool = False) -> tuple[str, ...]:
    """Return the class names in label-id order, seven or, with neutral, eight."""
    return (*EMOTIONS, NEUTRAL) if keep_neutral else EMOTIONS


def harmonise(corpus: str, source_label: str, *, labels: Collection[str] = EMOTIONS) -> str | None:
    """Return the emotion of a corpus's label, or None when it is none of ``labels``.

    Raises:
        KeyError: there is no label map for this corpus.
    """
    emotion = LABEL_MAPS[corpus].get(source_label)
    return emotion if emotion in labels else None


def read_label_map(entries: Iterable[str]) -> dict[str, str | None]:
    """Read the values of ``--map``: ``word=label``, several divided by commas.

    Args:
        entries: the values. An empty label, as in ``other=``, leaves the clips of a word out.

    Raises:
        CorpusError: an entry without ``=`` or without a word, or a word that is there twice.

    >>> read_label_map(["Frustrated=angry,Excited = happy", "other="])
    {'frustrated': 'angry', 'excited': 'happy', 'other': None}
    """
    words: dict[str, str | None] = {}
    for entry in (part for value in entries for part in value.split(",")):
        word, separator, label = (part.strip() for part in entry.partition("="))
        if not word or not separator:
            raise CorpusError(f"--map {entry.strip()}: expected WORD=LABEL")
        if plain_word(word) in words:
            raise CorpusError(f"--map: {word} is there twice")
        words[plain_word(word)] = label or None
    return words


def check_label_map(words: Mapping[str, str | None], labels: Collection[str]) -> None:
    """Refuse a label map whose right sides are not labels, which would lose their clips.

    Raises:
        CorpusError: names the label.

    >>> check_label_map({"frustrated": "anger", "other": None}, ["angry", "sad"])
    """
    for word, label in words.items():
        if label is not None and label_of(word, labels, words) is None:
            raise CorpusError(f"--map {word}={label}: {label} is none of {', '.join(labels)}")


def label_of(
    word: str, labels: Iterable[str], words: Mapping[str, str | None] = MappingProxyType({})
) -> str | None:
    """Return the label that a word of a user's table means, or None when it means none of them.

    Case and white space at the ends do not matter. A word of ``words`` means what that says;
    others are a label, or a known word for one (anger, fear, happiness and so on).

    Args:
        word: as the table has it.
        labels: of the model or corpus.
        words: of :func:`read_label_map`.

    >>> label_of(" Fear ", ["angry", "fearful"])
    'fearful'
    >>> label_of("Frustrated", ["angry", "fearful"], {"frustrated": "Angry"})
    'angry'
    >>> label_of("Cross", ["angry", "pleasant_surprise"], {"cross": "Anger"})
    'angry'
    >>> label_of("bored", ["angry", "fearful"]) is None
    True
    """
    known = {plain_word(label): label for label in labels}
    plain = plain_word(word)
    if plain in words:
        chosen = words[plain]
        if chosen is None:
            return None
        plain = plain_word(chosen)
    same = {plain, LABEL_MAPS["csv"].get(plain, plain)}
    same |= {other for other, label in LABEL_MAPS["csv"].items() if label == plain}
    return next((label for text, label in known.items() if text in same), None)


def plain_word(word: str) -> str:
    """Return a word as it is compared: in lower case, with single spaces."""
    return " ".join(word.casefold().replace("_", " ").split())
