"""The rows that the pipeline answers with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .answers import Labels, contributions, decided, ranked
from .inputs import Clip, mean_clip
from .options import Options
from .timeline import Window, segments_of, smoothed, table_of, transcript_of

NO_SPEECH_FOUND = "no speech was found"


def clip_row(clip: Clip, *, asked: Options, labels: Labels, temperature: float) -> Any:
    """What a clip is answered with, as :class:`SpeechTextEmotionPipeline` says it."""
    if clip.error is not None:
        return {"error": clip.error}
    answers = {
        name: labels.named(_probabilities(logits, temperature))
        for name, logits in clip.logits.items()
    }
    emotions = ranked(answers.get("fused", {}), asked.top_k)
    if asked.plain:
        return emotions
    row = {
        "emotions": emotions,
        "transcript": clip.text or None,
        "transcript_source": clip.text_source,
        "transcript_confidence": clip.text_confidence,
        "note": clip.note,
        "modalities": ["audio", "text"] if clip.text else ["audio"],
    }
    if asked.abstain_below is not None:
        row["label"], row["abstained"] = None, True
        if emotions:
            row["label"], _, row["abstained"] = decided(answers["fused"], asked.abstain_below)
    if asked.contributions:
        row["contributions"] = contributions(answers) if emotions else None
    return row


def recording_row(
    windows: Sequence[Window], *, asked: Options, labels: Labels, temperature: float
) -> dict[str, Any]:
    """What a recording is answered with: as a clip, and its windows and segments.

    The recording as a whole follows the rule for a long clip: the mean of the logits of its
    windows.
    """
    clips = [window.clip for window in windows if window.clip is not None]
    whole = mean_clip(clips) if clips else Clip(note=NO_SPEECH_FOUND)
    whole.text = transcript_of(windows)
    row = clip_row(whole, asked=asked, labels=labels, temperature=temperature)
    probabilities = [
        None if window.clip is None else _probabilities(window.clip.logits["fused"], temperature)
        for window in windows
    ]
    width = asked.timeline.smoothing
    for window, scores in zip(windows, smoothed(probabilities, width=width), strict=True):
        window.scores = None if scores is None else labels.named(scores)
    table = table_of(windows, abstain_below=asked.abstain_below)
    row["seconds"] = round(windows[-1].end, 3)
    row["segments"] = segments_of(windows, table)
    row["windows"] = table
    return row


def _probabilities(logits: torch.Tensor, temperature: float) -> np.ndarray:
    return (logits / temperature).softmax(-1).numpy()
