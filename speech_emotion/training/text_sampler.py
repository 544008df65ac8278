"""Sentences that replace transcripts in training, so that text carries emotion.

In acted corpora every sentence is read in every emotion. Some training clips are therefore shown
with a comment of their own emotion, and some with a neutral one; the others keep their transcript,
and ``text_modality_dropout`` drops some altogether.
"""

from collections.abc import Sequence
from typing import Any

import torch

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS
from speech_emotion.training.goemotions import Comments, read_comments
from speech_emotion.training.parsing import ConfigError


class TextSampler:
    """Picks the sentence with which a clip is shown.

    Args:
        comments: what to pick from.
        matched: share of clips shown with a comment of their own emotion.
        neutral: share of clips shown with a neutral comment.

    Raises:
        ConfigError: shares that are not 0 to 1, or an emotion without any comment.
    """

    def __init__(self, comments: Comments, *, matched: float = 0.35, neutral: float = 0.15) -> None:
        if min(matched, neutral) < 0 or matched + neutral > 1:
            raise ConfigError(
                "text_pairs: matched and neutral must be shares that sum to at most 1"
            )
        self.matched, self.neutral = matched, neutral
        self._texts: dict[int | None, list[str]] = {}
        for text, label in zip(comments.texts, comments.labels, strict=True):
            self._texts.setdefault(label, []).append(text)
        missing = [name for i, name in enumerate(EMOTIONS) if i not in self._texts]
        if missing or None not in self._texts:
            raise ConfigError(f"text_pairs: no comments for {', '.join(missing) or 'neutral'}")

    @classmethod
    def from_settings(
        cls, settings: dict[str, Any], labels: Sequence[str] = EMOTIONS
    ) -> "TextSampler | None":
        """Read the train part of ``settings["comments"]``, GoEmotions; ``None`` without settings.

        Args:
            settings: ``text_pairs`` of the config.
            labels: of the corpus: the emotions, and neutral if it is one.

        Raises:
            ConfigError: as :class:`TextSampler`; or a wrong key, no such comments, or labels for
                which there are none.
        """
        if not settings:
            return None
        if tuple(labels) not in (EMOTIONS, VOTE_CLASSES):
            raise ConfigError(f"text_pairs: no comments for the labels {', '.join(labels)}")
        unknown = set(settings) - {"comments", "matched", "neutral"}
        if unknown or "comments" not in settings:
            wrong = f"unknown key {', '.join(sorted(unknown))}" if unknown else "no comments"
            raise ConfigError(f"text_pairs: {wrong}")
        shares = {key: value for key, value in settings.items() if key != "comments"}
        return cls(read_comments(settings["comments"], "train"), **shares)

    @property
    def texts(self) -> list[str]:
        """Every sentence that may be picked."""
        return [text for texts in self._texts.values() for text in texts]

    def pick(self, label: int, own: str | None) -> str | None:
        """Return a sentence for a clip of this emotion, drawn with torch's generator."""
        drawn = float(torch.rand(()))
        if drawn < self.matched:
            texts = self._texts[label if label in self._texts else None]  # else neutral
        elif drawn < self.matched + self.neutral:
            texts = self._texts[None]
        else:
            return own
        return texts[int(torch.randint(len(texts), ()))]
