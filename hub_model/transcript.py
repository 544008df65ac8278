"""What a speech recogniser is, and what it gives.

A transcriber has two methods: ``load`` fetches its weights or says in one line why it cannot,
``transcribe`` turns waveforms into texts, each with the recogniser's own confidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Transcript:
    """What a recogniser heard in one clip.

    Args:
        text: perhaps empty.
        confidence: geometric mean of the probabilities of its tokens, 0 to 1; ``None`` where the
            recogniser does not tell.
        no_speech: Whisper's probability that nobody speaks; ``None`` where it does not tell.
        error: why the recogniser could not be asked, when it could not.
    """

    text: str
    confidence: float | None = None
    no_speech: float | None = None
    error: str | None = None


class TranscriberUnavailable(RuntimeError):
    """The weights of a transcriber are nowhere to be found. The message is one line."""


class Transcriber(Protocol):
    """What the pipeline and the corpus builder need of a speech recogniser."""

    name: str

    def load(self) -> None:
        """Load the weights once; raise :class:`TranscriberUnavailable` when there are none."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return one transcript per waveform (float32 ``(num_samples,)``, 16 kHz)."""
