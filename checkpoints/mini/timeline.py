"""Long recordings: windows that slide over them, and segments of one emotion."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .audio import SAMPLING_RATE, AudioError
from .decoding import AudioStream
from .inputs import Clip, Preparation, unwrap
from .labels import decided
from .speech_activity import has_speech

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

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Cut a stream (blocks float32 ``(num_samples,)``) into windows.

        The last window ends where the recording ends, so it may overlap more with the one before;
        a recording that is shorter than a window is one window.

        Yields:
            First sample, and float32 ``(window samples,)``.
        """
        size, hop = round(self.window_s * SAMPLING_RATE), round(self.hop * SAMPLING_RATE)
        held, first, following, covered = np.zeros(0, dtype=np.float32), 0, 0, 0
        for block in blocks:
            held = np.concatenate([held, block])
            end = first + held.size
            while following + size <= end:
                yield following, held[following - first : following - first + size]
                covered, following = following + size, following + hop
            # The last window may begin before the one that follows.
            drop = max(0, min(following, end - size) - first)
            held, first = held[drop:], first + drop
        end = first + held.size
        if covered < end:
            start = max(0, end - size)
            yield start, held[start - first :]


@dataclass
class Window:
    """A window of a recording on its way through the pipeline.

    Attributes:
        start, end: in seconds.
        clip: what the model gets; ``None`` where nobody speaks.
        scores: probabilities by label, smoothed; ``None`` where nobody speaks.
        file_notes: of the last window: what is unusual about the file.
    """

    start: float
    end: float
    clip: Clip | None = None
    scores: dict[str, float] | None = None
    file_notes: Sequence[str] = ()


class RecordingWindows(torch.utils.data.IterableDataset):
    """The windows of one recording; each worker of a ``DataLoader`` prepares every n-th.

    Every worker reads the recording, as decoding takes little beside cleaning. What is wrong with
    the recording comes as its message, for an exception would lose its line between processes.
    Notes on the file come as a list, from one worker.
    """

    def __init__(self, source: Any, timeline: Timeline, prepare: Preparation) -> None:
        self._source, self._timeline, self._prepare = source, timeline, prepare

    def __iter__(self) -> Iterator[Window | list[str] | str]:
        worker = torch.utils.data.get_worker_info()
        mine, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        try:
            with AudioStream(unwrap(self._source)) as stream:
                windows = self._timeline.cut(stream)
                for start, waveform in itertools.islice(windows, mine, None, workers):
                    yield self._window(start, waveform)
                if mine == 0:
                    yield stream.notes
        except AudioError as error:
            yield str(error)

    def _window(self, start: int, waveform: np.ndarray) -> Window:
        clip = None
        if not self._prepare.check_speech or has_speech(waveform):
            clip = self._prepare.of(waveform)
        end = start + waveform.size
        return Window(start / SAMPLING_RATE, end / SAMPLING_RATE, clip)


def length_of(source: Any) -> float | None:
    """Seconds of a recording, where they are known before it is read.

    Raises:
        AudioError: it cannot be opened.
    """
    if isinstance(source, str | os.PathLike) and not Path(source).is_file() and _exists(source):
        return None  # what is read from a pipe is gone
    with AudioStream(unwrap(source)) as stream:
        return stream.seconds


def channels_of(source: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a recording, and its channels as recordings of their own.

    Args:
        source: of one recording, as in a call; what can be read only once is read into memory.

    Raises:
        AudioError: it cannot be opened, or has one channel only.
    """
    source = unwrap(source)
    if hasattr(source, "read") and not hasattr(source, "get_all_samples"):
        source = source.read()
    elif isinstance(source, str | os.PathLike) and not Path(source).is_file() and _exists(source):
        source = Path(source).read_bytes()
    if isinstance(source, str | os.PathLike):
        source = {"path": source}
    elif isinstance(source, bytes | bytearray | memoryview):
        source = {"bytes": source}
    elif isinstance(source, tuple) and len(source) == 2:
        rate, array = source if np.isscalar(source[0]) else source[::-1]
        source = {"array": array, "sampling_rate": rate}
    elif not isinstance(source, dict):
        source = {"array": source, "sampling_rate": SAMPLING_RATE}
    with AudioStream(source) as stream:
        name, number = stream.name, stream.channels
    if number == 1:
        raise AudioError(f"{name}: it has one channel, so its speakers are not told by channels")
    return name, [{**source, "channel": channel} for channel in range(number)]


def _exists(source: str | os.PathLike) -> bool:
    return Path(source).exists() and not Path(source).is_dir()


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
            sums = np.cumsum([np.zeros_like(rows[0]), *rows], axis=0)
            place, reach = np.arange(len(rows)), width // 2
            low, high = np.maximum(0, place - reach), np.minimum(len(rows), place + reach + 1)
            rows = list((sums[high] - sums[low]) / (high - low)[:, None])
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


def segments_of(windows: Sequence[Window], table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge neighbouring windows of one label.

    Two windows that overlap part in the middle between their centres, so that the segments follow
    each other without gaps from the start of the recording to its end.

    Args:
        windows: all of a recording, in order.
        table: their rows, as :func:`table_of` makes them.

    Returns:
        ``start``, ``end``, ``label``, ``score`` (mean over the segment) and ``transcript``.
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
    return segments


def transcript_of(windows: Iterable[Window]) -> str | None:
    """Join the texts of windows, leaving out those that overlap with one that is there."""
    texts, heard_until = [], 0.0
    for window in windows:
        if window.clip is not None and window.clip.text and window.start >= heard_until - 1e-6:
            texts.append(window.clip.text)
            heard_until = window.end
    return " ".join(texts) or None
