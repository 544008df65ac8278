"""Long recordings: windows that slide over them, and segments of one emotion."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .audio import SAMPLING_RATE
from .inputs import Clip
from .labels import decided
from .transcript import Word, text_of
from .turns import WHOLE, Turn, place_of

NO_SPEECH = "no speech"
"""Label of a window, and of a segment, in which nobody speaks."""

WINDOW_S = 4.0
"""Length of a window in seconds: about that of an acted sentence."""

SMOOTHING = 3
"""Windows over which probabilities are averaged."""


@dataclass(frozen=True)
class Timeline:
    """How a recording is cut into windows.

    Args:
        window_s: length of a window in seconds.
        hop_s: seconds from one window to the next; half a window when not given.
        smoothing: number of windows, an odd one, of the moving average; 1 for none.

    Raises:
        ValueError: a window of under 0.5 s, a hop that is longer, an even average.
    """

    window_s: float = WINDOW_S
    hop_s: float | None = None
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        if not 0.5 <= self.window_s <= 600:
            raise ValueError(f"window_s must be 0.5 to 600, not {self.window_s}")
        if not 0.1 <= self.hop <= self.window_s:
            raise ValueError(f"hop_s must be 0.1 to window_s ({self.window_s}), not {self.hop_s}")
        if self.smoothing < 1 or self.smoothing % 2 != 1:
            raise ValueError(f"smoothing must be 1, 3, 5 ..., not {self.smoothing}")

    @property
    def hop(self) -> float:
        """Seconds from one window to the next."""
        return self.window_s / 2 if self.hop_s is None else self.hop_s

    def cut(
        self, blocks: Iterable[np.ndarray], turns: Sequence[Turn] = WHOLE
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut a stream (blocks float32 ``(num_samples,)``) into windows, each within one turn.

        The last window of a turn ends where the turn ends, so it may overlap more with the one
        before; a turn that is shorter than a window is one window.

        Yields:
            Place of the turn, first sample, and float32 ``(window samples,)``.
        """
        spans = [[round(min(t, 1e9) * SAMPLING_RATE) for t in (u.start, u.end)] for u in turns]
        running = {place: self.run(start) for place, (start, _) in enumerate(spans)}
        end = 0
        for block in blocks:
            begin, end = end, end + block.size
            for place in [place for place in running if spans[place][0] < end]:
                start, last = spans[place]
                for window in running[place].add(block[max(0, start - begin) : last - begin]):
                    yield place, *window
                if last <= end:
                    for window in running.pop(place).finish():
                        yield place, *window
        for place, run in running.items():
            for window in run.finish():
                yield place, *window

    def run(self, start: int = 0) -> "Run":
        """The windows from a sample on."""
        size, hop = round(self.window_s * SAMPLING_RATE), round(self.hop * SAMPLING_RATE)
        return Run(start, size, hop)


class Run:
    """The windows of one turn, whose samples come block by block: float32 ``(num_samples,)``."""

    def __init__(self, start: int, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._held, self._first = np.zeros(0, dtype=np.float32), start
        self._following = self._covered = start

    def add(self, block: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the windows that are complete: first sample, and samples."""
        self._held = np.concatenate([self._held, block])
        end = self._first + self._held.size
        while self._following + self._size <= end:
            at = self._following - self._first
            yield self._following, self._held[at : at + self._size]
            self._covered = self._following + self._size
            self._following += self._hop
        # The last window may begin before the one that follows.
        drop = max(0, min(self._following, end - self._size) - self._first)
        self._held, self._first = self._held[drop:], self._first + drop

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the last window, unless the one before reaches the end."""
        end = self._first + self._held.size
        if self._covered < end:
            start = max(self._first, end - self._size)
            yield start, self._held[start - self._first :]


@dataclass
class Window:
    """A window of a recording on its way through the pipeline.

    Attributes:
        start, end: in seconds.
        clip: what the model gets; ``None`` where nobody speaks.
        scores: probabilities by label, smoothed; ``None`` where nobody speaks.
        turn: place of the turn that it is cut from.
    """

    start: float
    end: float
    clip: Clip | None = None
    scores: dict[str, float] | None = None
    turn: int = 0


def smoothed(scores: Sequence[np.ndarray | None], *, width: int) -> list[np.ndarray | None]:
    """Average the probabilities of neighbouring windows.

    Args:
        scores: float ``(labels,)`` a window, ``None`` where nobody speaks; such a window ends the
            run over which is averaged.
        width: number of windows; at the ends of a run there are fewer.
    """
    found: list[np.ndarray | None] = []
    for spoken, run in itertools.groupby(scores, key=lambda score: score is not None):
        rows = list(run)
        if spoken:
            reach = width // 2
            whole = np.array(rows)
            rows = [whole[max(0, i - reach) : i + reach + 1].mean(axis=0) for i in range(len(rows))]
        found += rows
    return found


def table_of(windows: Sequence[Window], *, abstain_below: float | None) -> list[dict[str, Any]]:
    """One row a window: ``start``, ``end``, ``label``, ``score`` and ``scores`` by label.

    Without speech the label is :data:`NO_SPEECH`, without a decision ``None``.
    """
    rows = []
    for window in windows:
        label: str | None = NO_SPEECH
        score: float | None = None
        if window.scores is not None:
            label, score, _ = decided(window.scores, abstain_below)
        rows.append(
            {
                "start": round(window.start, 3),
                "end": round(window.end, 3),
                "label": label,
                "score": score,
                "scores": window.scores,
            }
        )
    return rows


def segments_of(
    windows: Sequence[Window],
    table: Sequence[dict[str, Any]],
    words: Sequence[Word] | None = None,
) -> list[dict[str, Any]]:
    """Merge neighbouring windows of one label.

    Two windows that overlap part in the middle between their centres, so that the segments follow
    each other without gaps from the start of the turn to its end.

    Args:
        windows: all of a turn, in order.
        table: their rows, as :func:`table_of` makes them.
        words: of the turn; when not given, the windows have transcripts of their own.

    Returns:
        ``start``, ``end``, ``label``, ``score`` (mean over the segment) and ``transcript``: the
        words whose middle lies there. Those at the edge of a segment without speech belong to the
        neighbour.
    """
    centres = [(window.start + window.end) / 2 for window in windows]
    edges = [windows[0].start, *(sum(pair) / 2 for pair in itertools.pairwise(centres))]
    edges.append(windows[-1].end)
    segments = []
    for label, group in itertools.groupby(range(len(windows)), key=lambda i: table[i]["label"]):
        members = list(group)
        weights = [edges[i + 1] - edges[i] for i in members]
        scores = [table[i]["score"] for i in members]
        segments.append(
            {
                "start": round(edges[members[0]], 3),
                "end": round(edges[members[-1] + 1], 3),
                "label": label,
                "score": None if scores[0] is None else float(np.average(scores, weights=weights)),
                "transcript": transcript_of([windows[i] for i in members]),
            }
        )
    if words is not None:
        parts = [Turn(s["start"], s["end"]) for s in segments]
        spoken = [i for i, s in enumerate(segments) if s["label"] != NO_SPEECH]
        spoken = spoken or list(range(len(segments)))
        inside: dict[int, list[Word]] = {place: [] for place in range(len(segments))}
        for word in words:
            inside[spoken[place_of(word.middle, [parts[i] for i in spoken])]].append(word)
        for place, segment in enumerate(segments):
            segment["transcript"] = text_of(inside[place]) or None
    return segments


def transcript_of(windows: Iterable[Window]) -> str | None:
    """Join the texts of windows, leaving out those that overlap with one that is there."""
    texts, heard_until = [], 0.0
    for window in windows:
        if window.clip is not None and window.clip.text and window.start >= heard_until - 1e-6:
            texts.append(window.clip.text)
            heard_until = window.end
    return " ".join(texts) or None
