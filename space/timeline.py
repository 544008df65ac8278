"""A long recording as windows that slide over it, and as stretches of one emotion.

The answers are those of the pipeline's own option `return_segments`. The cutting is done here, so
that any model of the task has a timeline, and others get their turn between two groups of windows.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from classifier import WINDOW_RATE, Classifier
from clips import MAX_RATE, MIN_RATE, MIN_SECONDS, NOT_AUDIO, ClipError

NO_SPEECH = "no speech"
UNSURE = "unsure"
GROUP = 8
"""Windows for which the model is held at once: a second or two of work."""

BLOCK_SECONDS = 10
PEAKS_PER_SECOND = 20


@dataclass
class Recording:
    """A recording on its way through the model.

    seconds: what has been read of it. whole_seconds: its length, as its file says.
    peaks: the loudest sample of every twentieth of a second, 0 to 1.
    windows: {"start", "end", "label", "score", "scores", "transcript"}; label and scores are
    smoothed when `run` is over. segments: {"start", "end", "label", "score", "transcript"}.
    emotions: of the recording as a whole, as in an answer; empty when nobody speaks.
    """

    whole_seconds: float
    seconds: float = 0.0
    peaks: list[float] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    emotions: list[dict[str, Any]] = field(default_factory=list)
    note: str | None = None

    @property
    def share(self) -> float:
        """How much of it has been answered, 0 to 1."""
        done = self.windows[-1]["end"] if self.windows else 0.0
        return min(1.0, done / max(self.whole_seconds, 1e-9))

    def to_dict(self) -> dict[str, Any]:
        """Return what the API answers with."""
        return {
            "emotions": self.emotions,
            "seconds": round(self.seconds, 3),
            "note": self.note,
            "segments": self.segments,
            "windows": self.windows,
            "csv": as_csv(self.segments),
            "srt": as_srt(self.segments),
        }


def run(
    classifier: Classifier,
    path: Path,
    *,
    window_s: float = 4.0,
    hop_s: float = 2.0,
    smoothing: int = 3,
) -> Iterator[Recording]:
    """Answer a recording group by group, and yield it after each; the last has everything.

    Args:
        path: the file. window_s: length of a window in seconds. hop_s: seconds from one window
            to the next. smoothing: windows, an odd number, over which probabilities are averaged.

    Raises:
        ClipError: an option makes no sense, or the recording cannot be used.
    """
    check_options(window_s=window_s, hop_s=hop_s, smoothing=smoothing)
    settings = classifier.settings
    recording = Recording(whole_seconds=0.0)
    blocks = _blocks(path, recording, max_minutes=settings.max_recording_minutes)
    size, hop = round(window_s * WINDOW_RATE), round(hop_s * WINDOW_RATE)
    windows = cut(blocks, size=size, hop=hop)
    while group := list(itertools.islice(windows, GROUP)):
        answers = classifier.answer_windows([sound for _, sound in group], window_s=window_s)
        for (start, sound), answer in zip(group, answers, strict=True):
            times = {"start": start / WINDOW_RATE, "end": (start + sound.size) / WINDOW_RATE}
            recording.note = recording.note or answer.pop("note")
            recording.windows.append({**times, **answer})
        yield recording
    _finish(recording, smoothing=smoothing, threshold=settings.threshold)
    yield recording


def check_options(*, window_s: float, hop_s: float, smoothing: int) -> None:
    """Raise ClipError, in one line, for options of a timeline that make no sense."""
    if not 0.5 <= window_s <= 60:
        raise ClipError("A window must be 0.5 to 60 seconds long.")
    if not 0.25 <= hop_s <= window_s:
        raise ClipError("The step must be at least 0.25 seconds, and no longer than the window.")
    if not 1 <= smoothing <= 99 or smoothing % 2 == 0:
        raise ClipError("The smoothing must be 1, 3, 5 ... windows.")


def cut(blocks: Iterable[np.ndarray], *, size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream (blocks float32 (num_samples,)) into windows of `size` samples.

    The last window ends where the recording ends; a recording that is shorter is one window.

    Yields:
        First sample, and float32 (window samples,).
    """
    held, first, start, covered = np.zeros(0, np.float32), 0, 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        while start + size <= first + held.size:
            yield start, held[start - first : start - first + size]
            covered, start = start + size, start + hop
        # What the last window may need, which can begin before the one that follows.
        drop = max(0, min(start - first, held.size - size))
        held, first = held[drop:], first + drop
    end = first + held.size
    if covered < end:
        begin = max(0, end - size)
        yield begin, held[begin - first :]


def _blocks(path: Path, recording: Recording, *, max_minutes: float) -> Iterator[np.ndarray]:
    """Read a file block by block at 16 kHz, and note its length and its peaks on the way."""
    too_long = f"The recording is too long: at most {max_minutes:g} minutes are accepted."
    try:
        with sf.SoundFile(path) as file:
            rate = file.samplerate
            if not MIN_RATE <= rate <= MAX_RATE:
                raise ClipError(f"The sampling rate of {rate} Hz is not usable.")
            recording.whole_seconds = file.frames / rate
            # A broken header may promise years; only what is really there counts.
            limit = max_minutes * 60
            stream = soxr.ResampleStream(rate, WINDOW_RATE, 1, dtype="float32")
            for block in file.blocks(rate * BLOCK_SECONDS, dtype="float32", always_2d=True):
                recording.seconds += len(block) / rate
                if recording.seconds > limit:
                    raise ClipError(too_long)
                mono = block.mean(axis=1)
                if not np.isfinite(mono).all():
                    raise ClipError("The recording holds samples that are not numbers.")
                step = max(1, rate // PEAKS_PER_SECOND)
                starts = np.arange(0, mono.size, step)
                recording.peaks += np.maximum.reduceat(np.abs(mono), starts).tolist()
                yield stream.resample_chunk(mono)
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
    except (sf.SoundFileError, RuntimeError, TypeError) as error:
        raise ClipError(NOT_AUDIO) from error
    if recording.seconds < MIN_SECONDS:
        raise ClipError(f"The recording is too short: at least {MIN_SECONDS} s is needed.")


def _finish(recording: Recording, *, smoothing: int, threshold: float) -> None:
    """Smooth the windows, name them, and join neighbours of one name."""
    windows = recording.windows
    spoken = [window["scores"] for window in windows if window["scores"]]
    if spoken:
        # Of the recording as a whole, the mean of the logits, as for any long clip.
        labels = list(spoken[0])
        table = np.array([[scores[label] for label in labels] for scores in spoken])
        logs = np.log(table + 1e-30).mean(axis=0)
        odds = np.exp(logs - logs.max())
        pairs = zip(labels, (odds / odds.sum()).tolist(), strict=True)
        rows = [{"label": label, "score": score} for label, score in pairs]
        recording.emotions = sorted(rows, key=lambda row: -row["score"])
    for window, scores in zip(windows, _smoothed(windows, smoothing), strict=True):
        window["scores"], window["label"], window["score"] = scores, NO_SPEECH, None
        if scores:
            label = max(scores, key=scores.get)
            window["score"] = scores[label]
            window["label"] = label if scores[label] >= threshold else UNSURE
    recording.segments = segments_of(windows)


def _smoothed(windows: Sequence[dict[str, Any]], width: int) -> list[dict[str, float] | None]:
    """Average over neighbours, but never over a window in which nobody speaks."""
    found: list[dict[str, float] | None] = []
    for is_spoken, stretch in itertools.groupby(windows, key=lambda window: bool(window["scores"])):
        rows = [window["scores"] for window in stretch]
        for place in range(len(rows)):
            near = rows[max(0, place - width // 2) : place + width // 2 + 1]
            mean = {name: sum(r[name] for r in near) / len(near) for name in rows[0] or ()}
            found.append(mean if is_spoken else None)
    return found


def segments_of(windows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join neighbouring windows of one label into segments without gaps.

    Windows that overlap part in the middle between their centres. A segment's score is the mean
    over its time, its transcript is joined from windows that do not overlap.
    """
    centres = [(window["start"] + window["end"]) / 2 for window in windows]
    edges = [windows[0]["start"], *map(np.mean, itertools.pairwise(centres)), windows[-1]["end"]]
    segments = []
    numbers = range(len(windows))
    for label, group in itertools.groupby(numbers, key=lambda i: windows[i]["label"]):
        members = list(group)
        scores = [windows[i]["score"] for i in members]
        weights = [edges[i + 1] - edges[i] for i in members]
        segments.append(
            {
                "start": round(float(edges[members[0]]), 3),
                "end": round(float(edges[members[-1] + 1]), 3),
                "label": label,
                "score": None if scores[0] is None else float(np.average(scores, weights=weights)),
                "transcript": _joined([windows[i] for i in members]),
            }
        )
    return segments


def _joined(windows: Iterable[dict[str, Any]]) -> str | None:
    texts, heard_until = [], 0.0
    for window in windows:
        if window["transcript"] and window["start"] >= heard_until - 1e-6:
            texts.append(window["transcript"])
            heard_until = window["end"]
    return " ".join(texts) or None


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows of the same keys as a table that spreadsheets read as text and numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet would run a transcript or a file's name that begins like a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def as_srt(segments: Sequence[dict[str, Any]]) -> str:
    """Write subtitles, without the stretches in which nobody speaks."""
    spoken = [segment for segment in segments if segment["label"] != NO_SPEECH]
    blocks = []
    for number, segment in enumerate(spoken, start=1):
        # An arrow in a transcript would be read as a time.
        words = (segment["transcript"] or "").replace("-->", "->")
        line = f"{segment['label']} {segment['score']:.0%}" + (f"\n{words}" if words else "")
        times = f"{_srt_time(segment['start'])} --> {_srt_time(segment['end'])}"
        blocks.append(f"{number}\n{times}\n{line}\n")
    return "\n".join(blocks)


def _srt_time(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}"
