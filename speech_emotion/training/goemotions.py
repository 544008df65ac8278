"""GoEmotions (Reddit comments with 28 labels) folded to the seven emotions.

Acted corpora read fixed sentences, so their text says nothing of the emotion. What the text
branch knows it learns here (Demszky et al. 2020, arXiv 2005.00547).
"""

from dataclasses import dataclass
from pathlib import Path

from hub_model.labels import EMOTIONS
from speech_emotion.training.config import ConfigError

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


@dataclass(frozen=True)
class Comments:
    """Comments and their emotions: ``labels[i]`` is 0..6, or ``None`` for a neutral one.

    Neutral comments are kept because the model must learn to answer them with a shrug.
    """

    texts: list[str]
    labels: list[int | None]


def read_comments(folder: str | Path, split: str) -> Comments:
    """Read ``train``, ``dev`` or ``test``.

    Comments whose labels fold to more than one of the seven, or to one and to neutral, are left
    out: they do not say one thing.

    Args:
        folder: holds ``labels.txt`` and ``<split>.tsv`` (text, comma-separated ids, comment id).

    Raises:
        ConfigError: a file is missing or not in this layout.
    """
    folder = Path(folder)
    folded = {name: EMOTIONS.index(target) for target, names in FOLDED.items() for name in names}
    texts, labels = [], []
    try:
        names = (folder / "labels.txt").read_text(encoding="utf-8").split()
        lines = (folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
        for line in lines:
            text, ids = line.split("\t")[:2]
            found = {folded.get(names[int(index)]) for index in ids.split(",")}
            if len(found) == 1:
                texts.append(text.replace("[NAME]", "Alex"))
                labels.append(found.pop())
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{folder}: not in the layout of GoEmotions ({error})") from error
    return Comments(texts, labels)
