"""GoEmotions (Reddit comments with 28 labels) folded to the seven emotions.

The sentences of acted corpora are read in every emotion, so the text branch is trained on these
comments (Demszky et al. 2020, arXiv 2005.00547).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets import load_dataset

from hub_model.labels import EMOTIONS
from speech_emotion.training.parsing import ConfigError

FOLDED: dict[str, tuple[str, ...]] = {
    "angry": ("anger", "annoyance", "disapproval"),
    "calm": ("relief", "caring"),
    "disgust": ("disgust",),
    "fearful": ("fear", "nervousness"),
    "happy": (
        "admiration",
        "amusement",
        "approval",
        "desire",
        "excitement",
        "gratitude",
        "joy",
        "love",
        "optimism",
        "pride",
    ),
    "sad": ("sadness", "disappointment", "embarrassment", "grief", "remorse"),
    "surprised": ("surprise", "realization", "confusion", "curiosity"),
}
"""The grouping that the authors of GoEmotions give for Ekman's emotions, with one change: relief
and caring, which they count as joy, stand for calm, which Ekman does not have."""


CONFIGURATION = "simplified"
"""Configuration of the data set on the Hub with the splits of the authors."""


@dataclass(frozen=True)
class Comments:
    """Comments and their emotions: ``labels[i]`` is 0..6, or ``None`` for a neutral one.

    Neutral comments are kept, because neutral text must not change the prediction.
    """

    texts: list[str]
    labels: list[int | None]


def read_comments(source: str | Path, split: str) -> Comments:
    """Read the ``train``, ``dev`` or ``test`` comments.

    Comments whose labels fold to more than one of the seven, or to one and to neutral, are left
    out: their label is ambiguous.

    Args:
        source: Hub id (``google-research-datasets/go_emotions``), or a folder: a copy of that
            data set, or the files of its authors, ``labels.txt`` and ``<split>.tsv`` (text,
            comma-separated ids, comment id).

    Raises:
        ConfigError: it is missing or not in one of these layouts.
    """
    folded = {name: EMOTIONS.index(target) for target, names in FOLDED.items() for name in names}
    texts: list[str] = []
    labels: list[int | None] = []
    for text, names in _rows(source, split):
        found = {folded.get(name) for name in names}
        if len(found) == 1:
            texts.append(text.replace("[NAME]", "Alex"))
            labels.append(found.pop())
    return Comments(texts, labels)


def read_texts(source: str | Path, split: str) -> list[str]:
    """Read all comments as they are written, see :func:`read_comments`."""
    return [text for text, _ in _rows(source, split)]


def _rows(source: str | Path, split: str) -> Iterator[tuple[str, list[str]]]:
    """Comments and the names of their labels, in the order of the data set."""
    folder = Path(source)
    if not folder.is_dir() or any(folder.rglob("*.parquet")):
        yield from _dataset_rows(str(source), split)
        return
    try:
        names = (folder / "labels.txt").read_text(encoding="utf-8").split()
        for line in (folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
            text, ids = line.split("\t")[:2]
            yield text, [names[int(index)] for index in ids.split(",")]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{folder}: not in the layout of GoEmotions ({error})") from error


def _dataset_rows(source: str, split: str) -> Iterator[tuple[str, list[str]]]:
    try:
        rows = load_dataset(source, CONFIGURATION, split="validation" if split == "dev" else split)
        names = rows.features["labels"].feature.names
        for row in rows:
            yield row["text"], [names[index] for index in row["labels"]]
    except Exception as error:  # datasets raises many kinds
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{source}: cannot be read as GoEmotions ({detail[:200]})") from error
