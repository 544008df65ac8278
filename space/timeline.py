"""The timeline of a long recording: windows and segments, with progress.

The pipeline of a custom checkpoint makes the timeline itself (`return_segments`). For a stock
checkpoint, whose pipeline has none, the windows are cut and merged here by the same rules.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from classifier import AUDIO_ONLY, Classifier
from clips import MIN_SECONDS, Clip, ClipError, mono_blocks, opened
from exports import NO_SPEECH, UNSURE, as_csv, as_srt
from lock import Request, asking, in_steps

BATCH_SIZE = 8
"""Windows of a batch; other requests run after each batch."""

PEAKS_PER_SECOND = 20


@dataclass
class Recording:
    """A recording and what is known of it so far.

    Attributes:
        seconds: its length.
        peaks: highest absolute sample of every twentieth of a second, 0 to 1.
        share: share that has been classified, 0 to 1.
        waits: whether it waits for another request.
        result: `emotions` (of the whole recording; empty if nobody speaks), `note`, `segments`
            (`start`, `end`, `label`, `score`, `transcript`) and `windows` (`start`, `end`,
            `label`, `score`, `scores`), each with a `speaker` if they are kept apart; empty until
            share is 1.
    """

    seconds: float
    peaks: list[float]
    share: float = 0.0
    waits: bool = False
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def segments(self) -> list[dict[str, Any]]:
        """The segments, as in the result."""
        return self.result["segments"]

    def to_dict(self) -> dict[str, Any]:
        """Return what the API returns."""
        names = ("emotions", "note", "segments", "windows", "speakers")
        return {
            **{name: self.result[name] for name in names if name in self.result},
            "seconds": round(self.seconds, 3),
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
    speakers: bool = False,
) -> Iterator[Recording]:
    """Classify a recording; yield it after each batch and each half second, then with its result.

    Args:
        path: the file.
        window_s: length of a window in seconds.
        hop_s: seconds from one window to the next.
        smoothing: windows, an odd number, over which probabilities are averaged.
        speakers: whether each channel of the recording holds one speaker.

    Raises:
        ClipError: an option is out of range, or the recording cannot be used; one line.
    """
    if not 0.5 <= window_s <= 60:
        raise ClipError("A window must be 0.5 to 60 seconds long.")
    if not 0.25 <= hop_s <= window_s:
        raise ClipError("The step must be at least 0.25 seconds, and no longer than the window.")
    if not 1 <= smoothing <= 99 or smoothing % 2 == 0:
        raise ClipError("The smoothing must be 1, 3, 5 ... windows.")
    threshold = classifier.settings.threshold
    most = classifier.settings.max_recording_minutes
    recording = read_recording(path, max_minutes=most, stream=classifier.audio_stream)
    options: dict[str, Any] = {"window_s": window_s, "hop_s": hop_s, "smoothing": smoothing}
    channels = 1
    if speakers:
        if classifier.audio_stream is None:
            raise ClipError("This model does not keep speakers apart.")
        with classifier.audio_stream(path) as audio:
            channels = audio.channels
        options["speakers"] = "channels"
    if classifier.supports_text:
        steps = classifier.classify_recording(
            path, **options, abstain_below=threshold, batch_size=BATCH_SIZE
        )
    else:
        steps = in_steps(partial(stock_timeline, classifier, path, recording.seconds, **options))
    for step in steps:
        if isinstance(step, Request):
            recording.share = min(1.0, step.windows * hop_s / recording.seconds / channels)
            recording.waits = step.waits
        else:
            recording.share, recording.result = 1.0, step
            for part in (*recording.segments, *step["windows"]):
                part["label"] = part["label"] or UNSURE
        yield recording


def read_recording(path: Path, *, max_minutes: float, stream: Any = None) -> Recording:
    """Read a file once, block by block, for its length and peaks.

    Raises:
        ClipError: it is no audio, too long or too short; one line.
    """
    recording = Recording(seconds=0.0, peaks=[])
    # Blocks are counted, as the header of a broken file may give any length.
    for rate, mono in mono_blocks(path, stream):
        recording.seconds += mono.size / rate
        if recording.seconds > max_minutes * 60:
            raise ClipError(
                f"The recording is too long: at most {max_minutes:g} minutes are accepted."
            )
        if not np.isfinite(mono).all():
            raise ClipError("The recording holds samples that are not numbers.")
        starts = np.arange(0, mono.size, max(1, rate // PEAKS_PER_SECOND))
        recording.peaks += np.maximum.reduceat(np.abs(mono), starts).tolist()
    if recording.seconds < MIN_SECONDS:
        raise ClipError(f"The recording is too short: at least {MIN_SECONDS} s is needed.")
    return recording


def stock_timeline(
    classifier: Classifier,
    path: Path,
    seconds: float,
    *,
    window_s: float,
    hop_s: float,
    smoothing: int,
) -> dict[str, Any]:
    """Return the timeline of a stock pipeline, as `Classifier.classify_recording` does.

    Args:
        seconds: length of the recording.
        window_s, hop_s, smoothing: as for `run`.
    """
    found: list[dict[str, float] | None] = []
    with asking() as request, opened(path) as file:
        rate = file.samplerate
        length, size, hop = (round(s * rate) for s in (seconds, window_s, hop_s))
        starts = [*range(0, max(1, length - size + 1), hop)]
        if starts[-1] + size < length:
            starts.append(length - size)  # the last window ends where the recording ends
        for first in range(0, len(starts), BATCH_SIZE):
            batch = []
            for start in starts[first : first + BATCH_SIZE]:
                file.seek(start)
                samples = file.read(size, dtype="float32", always_2d=True)
                batch.append(Clip(samples.mean(axis=1), rate))
            found += classifier.classify_windows(batch)
            request.report(len(batch))
            request.stop_if_cancelled()
    edges = np.array([(start, min(start + size, length)) for start in starts]) / rate
    return _stock_result(classifier, edges, found, smoothing)


def _stock_result(
    classifier: Classifier,
    times: np.ndarray,
    found: list[dict[str, float] | None],
    smoothing: int,
) -> dict[str, Any]:
    """Smooth and merge windows.

    Args:
        times: float (num_windows, 2), start and end in seconds.
        found: probability by label of each window; None for a silent one.
    """
    scores = pd.DataFrame([row or {} for row in found], columns=classifier.labels, dtype=float)
    silent = scores.isna().all(axis=1)
    emotions = []
    from scipy.special import softmax  # slow

    if not silent.all():  # the mean of the logits, as for a long clip
        whole = softmax(np.log(scores[~silent] + 1e-30).mean().to_numpy()).tolist()
        pairs = zip(classifier.labels, whole, strict=True)
        emotions = [{"label": label, "score": score} for label, score in pairs]
        emotions.sort(key=lambda emotion: -emotion["score"])
    # Silence ends a run of windows that are averaged.
    runs = (silent != silent.shift()).cumsum()
    smooth = scores.groupby(runs).rolling(smoothing, center=True, min_periods=1).mean()
    windows = []
    for (start, end), is_silent, row in zip(
        times.tolist(), silent, smooth.to_dict("records"), strict=True
    ):
        window = {"start": round(start, 3), "end": round(end, 3), "label": NO_SPEECH}
        windows.append(window | {"score": None, "scores": None})
        if not is_silent:
            label = max(row, key=row.get)
            sure = row[label] >= classifier.settings.threshold
            windows[-1] |= {"label": label if sure else None, "score": row[label], "scores": row}
    # Windows that overlap are divided in the middle between their centres.
    edges = [times[0, 0], *np.convolve(times.mean(axis=1), [0.5, 0.5], "valid"), times[-1, 1]]
    segments = []
    for label, group in itertools.groupby(range(len(windows)), lambda i: windows[i]["label"]):
        first, *_, last = [*group] * 2
        weights, score = np.diff(edges[first : last + 2]), None
        if label != NO_SPEECH:
            members = [window["score"] for window in windows[first : last + 1]]
            score = float(np.average(members, weights=weights))
        place = {"start": round(edges[first], 3), "end": round(edges[last + 1], 3)}
        segments.append(place | {"label": label, "score": score, "transcript": None})
    return {"emotions": emotions, "note": AUDIO_ONLY, "windows": windows, "segments": segments}
