"""A transcriber that works until it is told to end, in place of one that takes half a minute."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from hub_model.transcript import Transcript, Word

WORDS = "no leave me"


class SlowTranscriber:
    """Works at once while `free` is set, and otherwise until it is. Several pipelines may have it.

    Attributes:
        busy: set while it works.
        calls: how often it has begun.
    """

    name = "slow"

    def __init__(self) -> None:
        self.free, self.busy, self.calls = threading.Event(), threading.Event(), 0
        self.free.set()

    def load(self) -> None:
        """It has no weights."""

    def transcribe(self, waveforms: list[np.ndarray]) -> list[Transcript]:
        """The same words for each."""
        self._work()
        return [Transcript(WORDS) for _ in waveforms]

    def transcribe_words(self, speech: np.ndarray) -> Transcript:
        """One word in the first half second."""
        self._work()
        return Transcript("no", words=(Word(0.0, 0.5, " no"),))

    def hold(self) -> None:
        """Let the next call work until `free` is set."""
        self.free.clear()
        self.calls = 0

    def of(self, pipeline: Any) -> Any:
        """Make it the transcriber of a pipeline, which is returned."""
        names = ("name", "load", "transcribe", "transcribe_words")
        mine = SimpleNamespace(**{name: getattr(self, name) for name in names})
        pipeline.transcriber = pipeline._scorer._transcriber = mine
        pipeline._scorer._no_transcript = None
        return pipeline

    def _work(self) -> None:
        assert not self.busy.is_set(), "it works for one request at a time"
        self.calls += 1
        self.busy.set()
        assert self.free.wait(120)
        self.busy.clear()
