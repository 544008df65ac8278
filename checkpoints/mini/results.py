"""The options of a call of the pipeline, and its results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from numbers import Real
from typing import Any

import numpy as np

from .audio import AudioError
from .inputs import TASK, Clip, Tasks, mean_clip
from .labels import Labels, contributions, decided, ranked
from .recordings import Recorded
from .tasks import task_results
from .timeline import (
    NO_SPEECH,
    SMOOTHING,
    WINDOW_S,
    Timeline,
    Window,
    segments_of,
    smoothed,
    table_of,
    transcript_of,
)
from .transcript import Word, text_of
from .turns import WHOLE, Turn, is_overlapped, turns_of

NO_SPEECH_FOUND = "no speech was found"

UNSURE = "unsure"
"""Stands in a summary for segments without a decision."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a call, as :class:`SpeechTextEmotionPipeline` documents them.

    Raises:
        ValueError: a value outside its range, or one that needs another option.
    """

    top_k: int | None = None
    return_transcript: bool = False
    return_segments: bool = False
    window_s: float | None = None
    hop_s: float | None = None
    smoothing: int | None = None
    contributions: bool = False
    dimensions: bool = False
    tasks: bool = False
    labels: Mapping[str, str | None] | Sequence[str] | str | None = None
    abstain_below: float | None = None
    clean: bool = True
    check_speech: bool = True
    speakers: str | Sequence[str] | Sequence[Mapping[str, Any]] | Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "window_s", "hop_s", "smoothing", "abstain_below"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Real):
                raise ValueError(f"{name} must be a number, not {value!r}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise ValueError(f"abstain_below must be 0 to 1, not {self.abstain_below}")
        for name in ("window_s", "hop_s", "smoothing", "speakers"):
            if getattr(self, name) is not None and not self.return_segments:
                raise ValueError(f"{name} needs return_segments=True")
        if self.return_segments:
            _ = self.timeline
        names = self.speakers
        if names is None or names == "channels" or callable(names) or self.turns is not WHOLE:
            return
        if names == "auto":
            raise ValueError(
                'speakers="auto" is a word of the command line; here give the function '
                "speech_emotion.predict.diarisation.diarise, or its turns"
            )
        if not isinstance(names, list | tuple) or not names:
            raise ValueError(
                'speakers must be "channels", a list of names or of turns, or a function that '
                f"returns turns, not {names!r}"
            )
        if not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError(f"speakers: every one needs a name, not {list(names)}")
        if len(set(names)) < len(names):
            raise ValueError("speakers: two have one name")

    @property
    def given(self) -> dict[str, Any]:
        """The options by name, as a call takes them."""
        return dict(vars(self))

    @property
    def timeline(self) -> Timeline:
        """How a recording is cut into windows."""
        return Timeline(
            window_s=WINDOW_S if self.window_s is None else self.window_s,
            hop_s=self.hop_s,
            smoothing=SMOOTHING if self.smoothing is None else self.smoothing,
        )

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns of the speakers; the whole recording when none are given."""
        rows = self.speakers
        if isinstance(rows, list | tuple) and any(isinstance(row, Mapping) for row in rows):
            return turns_of(rows)
        return WHOLE

    @property
    def separate(self) -> tuple[str, ...]:
        """Modalities that are also scored separately."""
        return ("audio", "text") if self.contributions else ()

    @property
    def plain(self) -> bool:
        """Whether the result is the task's own ``[{"label", "score"}]``."""
        return not (
            self.return_transcript
            or self.return_segments
            or self.contributions
            or self.dimensions
            or self.tasks
            or self.abstain_below is not None
        )


def clip_result(
    clip: Clip, *, asked: Options, labels: Labels, temperature: float, tasks: Tasks | None = None
) -> Any:
    """The result of a clip, as :class:`SpeechTextEmotionPipeline` documents it."""
    if clip.error is not None:
        return {"error": clip.error}
    answers = {
        name: labels.named(_probabilities(logits, temperature))
        for name, logits in clip.logits.items()
        if not name.startswith(TASK)
    }
    emotions = ranked(answers.get("fused", {}), asked.top_k)
    if asked.plain:
        return emotions
    row: dict[str, Any] = {
        "emotions": emotions,
        "transcript": clip.text or None,
        "transcript_source": clip.text_source,
        "transcript_confidence": clip.text_confidence,
        "note": "; ".join(filter(None, [clip.note, *clip.file_notes])) or None,
        "modalities": ["audio", "text"] if clip.text else ["audio"],
    }
    row |= _decision(answers.get("fused"), asked.abstain_below)
    if asked.contributions:
        row["contributions"] = contributions(answers) if emotions else None
    if asked.dimensions:
        fused = clip.logits.get("fused")
        row["dimensions"] = (
            None if fused is None else labels.dimensions(_probabilities(fused, temperature))
        )
    if asked.tasks:
        row["tasks"] = task_results(tasks or {}, clip.tasks) if emotions else None
    return row


def recording_result(
    recorded: Recorded,
    *,
    asked: Options,
    labels: Labels,
    temperature: float,
    tasks: Tasks | None = None,
) -> dict[str, Any]:
    """The result of a recording: that of a clip, with windows, segments, words and a summary.

    The recording as a whole follows the rule for a long clip: the mean of the logits of its
    windows.
    """
    windows = recorded.windows
    clips = [window.clip for window in windows if window.clip is not None]
    whole = mean_clip(clips) if clips else Clip(note=NO_SPEECH_FOUND)
    table, segments, words = [], [], []
    for turn, group in groupby(windows, key=lambda window: window.turn):
        part = list(group)
        probabilities = [scores_of(window, temperature) for window in part]
        averaged = smoothed(probabilities, width=asked.timeline.smoothing)
        lines = table_with(part, averaged, asked, labels)
        mine = None if recorded.words is None else recorded.words[turn]
        table += lines
        segments += segments_of(part, lines, mine)
        words += mine or []
    heard = recorded.words is not None
    whole.text = text_of(words) if heard else transcript_of(windows)
    whole.file_notes = recorded.notes
    row = clip_result(whole, asked=asked, labels=labels, temperature=temperature, tasks=tasks)
    row["seconds"] = round(recorded.seconds, 3)
    row["segments"] = segments
    row["windows"] = table
    row["words"] = [_row_of(word) for word in words] if heard else None
    texts = [window.clip.text if window.clip else None for window in windows]
    row["summary"] = summary_of(segments, table) | {"strongest": strongest_of(table, texts)}
    return row


def scores_of(window: Window, temperature: float) -> np.ndarray | None:
    """The probabilities of a scored window, ``(num_labels,)``; ``None`` where nobody speaks."""
    if window.clip is None:
        return None
    return _probabilities(window.clip.logits["fused"], temperature)


def table_with(
    windows: Sequence[Window], scores: Sequence[np.ndarray | None], asked: Options, labels: Labels
) -> list[dict[str, Any]]:
    """The rows of windows with these probabilities, ``(num_labels,)`` each."""
    for window, row in zip(windows, scores, strict=True):
        window.scores = None if row is None else labels.named(row)
    lines = table_of(windows, abstain_below=asked.abstain_below)
    if asked.dimensions:
        for line, row in zip(lines, scores, strict=True):
            line["dimensions"] = None if row is None else labels.dimensions(row)
    return lines


def _row_of(word: Word) -> dict[str, Any]:
    times = {"start": round(word.start, 3), "end": round(word.end, 3)}
    return {**times, "text": word.text.strip()}


def summary_of(
    segments: Sequence[Mapping[str, Any]], windows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Sum up a recording, or what one speaker says in it.

    Args:
        segments, windows: of a result.

    Returns:
        ``seconds`` of speech; ``shares``, the share of them by label; and ``trend``, the mean
        probability of each label in the first, second and last third of the windows with speech,
        or ``None`` for fewer than three of them.
    """
    spoken: dict[str, float] = {}
    for part in segments:
        if part["label"] != NO_SPEECH:
            label = part["label"] or UNSURE
            spoken[label] = spoken.get(label, 0.0) + part["end"] - part["start"]
    seconds = sum(spoken.values())
    shares = sorted(((time / seconds, label) for label, time in spoken.items()), reverse=True)
    scores = [w["scores"] for w in sorted(windows, key=lambda w: w["start"]) if w["scores"]]
    trend = None
    if len(scores) >= 3:
        thirds = np.array_split(np.array([list(row.values()) for row in scores]), 3)
        means = np.stack([third.mean(axis=0) for third in thirds], axis=1)
        trend = dict(zip(scores[0], means.tolist(), strict=True))
    return {"seconds": round(seconds, 3), "shares": {k: v for v, k in shares}, "trend": trend}


def strongest_of(
    windows: Sequence[Mapping[str, Any]], texts: Sequence[str | None]
) -> list[dict[str, Any]]:
    """The window with the highest score of each label, the highest first.

    Args:
        windows: of a result.
        texts: their transcripts.

    Returns:
        ``label``, ``score``, ``start``, ``end`` and ``transcript`` of each.
    """
    moments = [
        {name: window[name] for name in ("label", "score", "start", "end")}
        | {"transcript": text or None}
        for window, text in zip(windows, texts, strict=True)
        if window["label"] and window["scores"]
    ]
    return _first_of_each(moments)


def _first_of_each(moments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for moment in sorted(moments, key=lambda moment: -moment["score"]):
        found.setdefault(moment["label"], moment)
    return list(found.values())


def mark_overlap(
    rows: Mapping[str, dict[str, Any]], turns: Sequence[Turn], *, least_s: float = 0.0
) -> None:
    """Say of each segment and window whether another speaker has a turn at the same time.

    Args:
        rows: by speaker.
        least_s: a shorter overlap in seconds does not count.
    """
    for name, row in rows.items():
        for line in (*row["segments"], *row["windows"]):
            line["overlap"] = is_overlapped(
                line["start"], line["end"], name, turns, least_s=least_s
            )


def speaker_names(asked: Options, name: str, channels: int) -> list[str]:
    """The names of the channels of a recording, whose own name is for the message.

    Raises:
        AudioError: there are more or fewer channels than names.
    """
    if isinstance(asked.speakers, str):
        stereo = channels == 2
        return ["left", "right"] if stereo else [f"channel {n + 1}" for n in range(channels)]
    names = [str(name) for name in asked.speakers or ()]  # type: ignore[union-attr]
    if len(names) != channels:
        raise AudioError(f"{name}: it has {channels} channels, and {len(names)} speakers are named")
    return names


def conversation_result(
    rows: Mapping[str, dict[str, Any]], *, abstain_below: float | None, top_k: int | None
) -> dict[str, Any]:
    """Join the results of the speakers of one recording.

    Args:
        rows: by speaker, of :func:`recording_result`, with all labels.
        abstain_below, top_k: as in a call.

    Returns:
        the result of a recording: its segments, windows and words have a ``speaker`` and are in
        the order of time; ``emotions`` are the mean over the speakers by their seconds of speech;
        and ``speakers``, by name the summary with ``emotions`` and ``transcript``.
    """
    joined: dict[str, Any] = dict(next(iter(rows.values())))
    for part in ("segments", "windows", "words"):
        lines = [
            {"speaker": name, **line} for name, row in rows.items() for line in row[part] or ()
        ]
        joined[part] = sorted(lines, key=lambda line: line["start"])
    if all(row["words"] is None for row in rows.values()):
        joined["words"] = None
    spoken = {name: row["summary"]["seconds"] for name, row in rows.items()}
    scores: dict[str, float] = {}
    for name, row in rows.items():
        for emotion in row["emotions"]:
            share = spoken[name] / sum(spoken.values())
            scores[emotion["label"]] = scores.get(emotion["label"], 0.0) + share * emotion["score"]
    joined["emotions"] = ranked(scores, top_k)
    texts = [line["transcript"] for line in joined["segments"] if line["transcript"]]
    joined["transcript"] = " ".join(texts) or None
    notes = dict.fromkeys(
        f"{name}: {note}" if note == NO_SPEECH_FOUND else note
        for name, row in rows.items()
        for note in (row["note"] or "").split("; ")
        if note
    )
    joined["note"] = "; ".join(notes) or None
    joined["modalities"] = max((row["modalities"] for row in rows.values()), key=len)
    joined["seconds"] = max(row["seconds"] for row in rows.values())
    joined |= _decision(scores, abstain_below)
    for name in ("contributions", "tasks"):  # of one speaker each
        joined.pop(name, None)
    if "dimensions" in joined:
        known = [(spoken[name], row["dimensions"]) for name, row in rows.items()]
        seconds = sum(weight for weight, place in known if place)
        joined["dimensions"] = next((dict(place) for _, place in known if place), None)
        for axis in ("valence", "arousal") if joined["dimensions"] else ():
            weighted = sum(weight * place[axis] for weight, place in known if place)
            joined["dimensions"][axis] = weighted / seconds
    moments = [
        {"speaker": name, **moment}
        for name, row in rows.items()
        for moment in row["summary"]["strongest"]
    ]
    joined["summary"] = summary_of(joined["segments"], joined["windows"])
    joined["summary"]["strongest"] = _first_of_each(moments)
    joined["speakers"] = {
        name: {
            **row["summary"],
            "emotions": row["emotions"][:top_k],
            "transcript": row["transcript"],
            **{part: row[part] for part in ("dimensions", "tasks") if part in row},
        }
        for name, row in rows.items()
    }
    return joined


def _decision(scores: Mapping[str, float] | None, abstain_below: float | None) -> dict[str, Any]:
    """The label, and whether the model abstains, where a call may; nobody speaks without scores."""
    if abstain_below is None:
        return {}
    label, _, abstained = decided(scores, abstain_below) if scores else (None, 0.0, True)
    return {"label": label, "abstained": abstained}


def _probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    shares = np.exp((logits - logits.max()) / np.float32(temperature))
    return shares / shares.sum()
