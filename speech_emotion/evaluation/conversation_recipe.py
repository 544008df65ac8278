"""Conversations made of labelled clips, by a seeded recipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub_model.audio import SAMPLING_RATE, load_audio
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet

FEWEST, MOST = 2, 4
"""Speakers of a conversation."""

TURNS = 16
"""Turns of a conversation, fewer where its speakers have too few clips."""

PAUSE_S = 0.2, 1.5
OVERLAP_S = 0.2, 1.0
OVERLAPPED = 0.2
"""Share of the turns that begin before the one before ends."""

GAIN_DB = -6.0, 0.0
"""Level of a speaker."""

NOISE_DBFS = -60.0
"""Level of the white noise behind every channel; without it pauses would be exact zeros."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation whose turns and emotions are known.

    Attributes:
        name: ``conversation 3``.
        turns: dicts with ``start`` and ``end`` in seconds, ``speaker`` and ``clip``, the number of
            the clip; in the order of their starts. Those of one speaker do not overlap.
        speakers: of the channels.
        channels: float32 ``(num_speakers, num_samples)``, 16 kHz.
    """

    name: str
    turns: list[dict[str, Any]]
    speakers: list[str]
    channels: np.ndarray

    @property
    def mixed(self) -> np.ndarray:
        """All speakers in one channel: float32 ``(num_samples,)``."""
        mixed = self.channels.sum(axis=0)
        return mixed / max(1.0, float(np.abs(mixed).max()))

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.channels.shape[1] / SAMPLING_RATE


def make_conversations(clips: ClipSet, number: int, *, seed: int) -> Iterator[Conversation]:
    """Make conversations of two, three and four speakers in turn.

    The speakers of one conversation are of one corpus, so that nothing but the voice tells them
    apart. The next speaker is any of the others; its emotion is drawn first, then a clip of it that
    was not used in this conversation.

    Args:
        clips: of all speakers.
        number: of conversations.
        seed: same seed, same conversations.

    Raises:
        EvaluationError: no corpus has two speakers.
    """
    table = np.array([clips.corpora, clips.speakers, clips.labels]).T
    found = {
        corpus: sorted(set(table[table[:, 0] == corpus, 1])) for corpus in sorted(set(table[:, 0]))
    }
    most = max(map(len, found.values()))
    if most < FEWEST:
        raise EvaluationError("a conversation needs two speakers of one corpus")
    sizes = range(FEWEST, min(MOST, most) + 1)
    for place in range(number):
        rng = np.random.default_rng([seed, place])
        size = sizes[place % len(sizes)]
        corpus = rng.choice([name for name, speakers in found.items() if len(speakers) >= size])
        speakers = rng.choice(found[corpus], size, replace=False).tolist()
        yield _conversation(f"conversation {place + 1}", clips, table, speakers, rng)


def _conversation(
    name: str, clips: ClipSet, table: np.ndarray, speakers: list[str], rng: np.random.Generator
) -> Conversation:
    turns: list[dict[str, Any]] = []
    ends = dict.fromkeys(speakers, 0.0)
    parts: list[tuple[int, int, np.ndarray]] = []
    free = np.ones(len(table), dtype=bool)
    gains = {speaker: 10 ** (rng.uniform(*GAIN_DB) / 20) for speaker in speakers}
    before = None
    for _ in range(TURNS):
        speaker = rng.choice([one for one in speakers if one != before])
        mine = free & (table[:, 1] == speaker)
        if not mine.any():
            break
        emotion = rng.choice(sorted(set(table[mine, 2])))
        clip = int(rng.choice(np.flatnonzero(mine & (table[:, 2] == emotion))))
        free[clip] = False
        samples = load_audio(clips.clips[clip]["audio"])
        seconds = samples.size / SAMPLING_RATE
        start = rng.uniform(*PAUSE_S)
        if turns:
            last = turns[-1]
            start += last["end"]
            if rng.random() < OVERLAPPED:
                shorter = min(seconds, last["end"] - last["start"])
                start = last["end"] - min(rng.uniform(*OVERLAP_S), shorter / 2)
            start = max(start, ends[speaker])
        first = round(start * SAMPLING_RATE)
        end = (first + samples.size) / SAMPLING_RATE
        turns.append(
            {"start": first / SAMPLING_RATE, "end": end, "speaker": str(speaker), "clip": clip}
        )
        parts.append((speakers.index(speaker), first, gains[speaker] * samples))
        ends[speaker] = end
        before = speaker
    length = round((max(ends.values()) + PAUSE_S[0]) * SAMPLING_RATE)
    channels = rng.normal(0, 10 ** (NOISE_DBFS / 20), (len(speakers), length)).astype(np.float32)
    for channel, first, samples in parts:
        channels[channel, first : first + samples.size] += samples
    turns.sort(key=lambda turn: turn["start"])
    return Conversation(name=name, turns=turns, speakers=speakers, channels=channels)
