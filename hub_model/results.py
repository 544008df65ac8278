"""The options of a call of the pipeline, and its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch

from .audio import AudioError
from .inputs import Clip, mean_clip
from .labels import Labels, contributions, decided, ranked
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

NO_SPEECH_FOUND = "no speech was found"


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
    labels: Mapping[str, str | None] | Sequence[str] | str | None = None
    abstain_below: float | None = None
    clean: bool = True
    check_speech: bool = True
    speakers: str | Sequence[str] | None = None

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
        if names is None or names == "channels":
            return
        if not isinstance(names, list | tuple) or not names:
            raise ValueError(f'speakers must be "channels" or a list of names, not {names!r}')
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
            or self.abstain_below is not None
        )


def clip_result(clip: Clip, *, asked: Options, labels: Labels, temperature: float) -> Any:
    """The result of a clip, as :class:`SpeechTextEmotionPipeline` documents it."""
    if clip.error is not None:
        return {"error": clip.error}
    answers = {
        name: labels.named(_probabilities(logits, temperature))
        for name, logits in clip.logits.items()
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
    if asked.abstain_below is not None:
        row["label"], row["abstained"] = None, True
        if emotions:
            row["label"], _, row["abstained"] = decided(answers["fused"], asked.abstain_below)
    if asked.contributions:
        row["contributions"] = contributions(answers) if emotions else None
    if asked.dimensions:
        fused = clip.logits.get("fused")
        row["dimensions"] = (
            None if fused is None else labels.dimensions(_probabilities(fused, temperature))
        )
    return row


def recording_result(
    windows: Sequence[Window], *, asked: Options, labels: Labels, temperature: float
) -> dict[str, Any]:
    """The result of a recording: that of a clip, with windows and segments.

    The recording as a whole follows the rule for a long clip: the mean of the logits of its
    windows.
    """
    clips = [window.clip for window in windows if window.clip is not None]
    whole = mean_clip(clips) if clips else Clip(note=NO_SPEECH_FOUND)
    whole.text, whole.file_notes = transcript_of(windows), windows[-1].file_notes
    row = clip_result(whole, asked=asked, labels=labels, temperature=temperature)
    probabilities = [
        None if window.clip is None else _probabilities(window.clip.logits["fused"], temperature)
        for window in windows
    ]
    width = asked.timeline.smoothing
    probabilities = smoothed(probabilities, width=width)
    for window, scores in zip(windows, probabilities, strict=True):
        window.scores = None if scores is None else labels.named(scores)
    table = table_of(windows, abstain_below=asked.abstain_below)
    if asked.dimensions:
        for line, scores in zip(table, probabilities, strict=True):
            line["dimensions"] = None if scores is None else labels.dimensions(scores)
    row["seconds"] = round(windows[-1].end, 3)
    row["segments"] = segments_of(windows, table)
    row["windows"] = table
    return row


def speaker_names(asked: Options, name: str, channels: int) -> list[str]:
    """The names of the channels of a recording, whose own name is for the message.

    Raises:
        AudioError: there are more or fewer channels than names.
    """
    if isinstance(asked.speakers, str):
        stereo = channels == 2
        return ["left", "right"] if stereo else [f"channel {n + 1}" for n in range(channels)]
    names = list(asked.speakers or ())
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
        the result of a recording: its segments and windows have a ``speaker`` and are in the order
        of time; ``emotions`` are the mean over the speakers by their seconds of speech; and
        ``speakers``, by name ``seconds`` of speech, ``emotions`` and ``transcript``.
    """
    joined: dict[str, Any] = dict(next(iter(rows.values())))
    for part in ("segments", "windows"):
        lines = [{"speaker": name, **line} for name, row in rows.items() for line in row[part]]
        joined[part] = sorted(lines, key=lambda line: line["start"])
    spoken = {
        name: sum(s["end"] - s["start"] for s in row["segments"] if s["label"] != NO_SPEECH)
        for name, row in rows.items()
    }
    scores: dict[str, float] = {}
    for name, row in rows.items():
        for emotion in row["emotions"]:
            share = spoken[name] / sum(spoken.values())
            scores[emotion["label"]] = scores.get(emotion["label"], 0.0) + share * emotion["score"]
    joined["emotions"] = ranked(scores, top_k)
    texts = [line["transcript"] for line in joined["segments"] if line["transcript"]]
    joined["transcript"] = " ".join(texts) or None
    notes = dict.fromkeys(row["note"] for row in rows.values() if row["note"])
    joined["note"] = "; ".join(notes) or None
    joined["modalities"] = max((row["modalities"] for row in rows.values()), key=len)
    joined["seconds"] = max(row["seconds"] for row in rows.values())
    if abstain_below is not None:
        joined["label"], joined["abstained"] = None, True
        if scores:
            joined["label"], _, joined["abstained"] = decided(scores, abstain_below)
    joined.pop("contributions", None)
    joined["speakers"] = {
        name: {
            "seconds": round(spoken[name], 3),
            "emotions": row["emotions"][:top_k],
            "transcript": row["transcript"],
        }
        for name, row in rows.items()
    }
    return joined


def _probabilities(logits: torch.Tensor, temperature: float) -> np.ndarray:
    return (logits / temperature).softmax(-1).numpy()
