"""Turns: who speaks when in a recording, as far as that is known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any

SLACK_S = 0.05
"""Turns of one speaker may overlap by so much, as their times are rounded."""

PAST_END_S = 0.5
"""A turn may end so much later than the recording, and is then cut."""


@dataclass(frozen=True)
class Turn:
    """A part of a recording in which one speaker is heard; start and end are in seconds."""

    start: float = 0.0
    end: float = math.inf
    speaker: str = ""

    def __str__(self) -> str:
        return f"the turn of {self.speaker} from {self.start:.2f} s to {self.end:.2f} s"


WHOLE = (Turn(),)
"""A recording whose turns are not known is one turn."""


def turns_of(rows: Sequence[Any]) -> list[Turn]:
    """Check turns, each a mapping with ``start``, ``end`` and ``speaker``.

    Returns:
        the turns, in the order of their starts.

    Raises:
        ValueError: one lacks a key, has no positive length or no speaker, or overlaps with
            another one of the same speaker.
    """
    turns = []
    for row in rows:
        if not isinstance(row, Mapping) or not {"start", "end", "speaker"} <= set(row):
            raise ValueError(f"speakers: a turn needs start, end and speaker, not {row!r}")
        start, end, speaker = row["start"], row["end"], row["speaker"]
        if not all(isinstance(t, Real) and math.isfinite(t) for t in (start, end)):
            raise ValueError(f"speakers: a turn begins and ends at numbers of seconds, not {row!r}")
        if not isinstance(speaker, str) or not speaker.strip():
            raise ValueError(f"speakers: a turn needs the name of its speaker, not {row!r}")
        turns.append(Turn(float(start), float(end), speaker.strip()))
        if not 0 <= start < end:
            raise ValueError(f"speakers: {turns[-1]} has no length, or begins before the recording")
    turns.sort(key=lambda turn: turn.start)
    for speaker in {turn.speaker for turn in turns}:
        for one, other in pairwise(turn for turn in turns if turn.speaker == speaker):
            if other.start < one.end - SLACK_S:
                raise ValueError(f"speakers: {one} overlaps with that from {other.start:.2f} s")
    return turns


def place_of(time: float, turns: Sequence[Turn]) -> int:
    """The place of the turn that a time in seconds belongs to.

    Of several that hold it the one that began first, which has the floor; of none the nearest.
    """
    distances = [max(turn.start - time, time - turn.end, 0.0) for turn in turns]
    return distances.index(min(distances))


def is_overlapped(
    start: float, end: float, speaker: str, turns: Sequence[Turn], *, least_s: float = 0.0
) -> bool:
    """Whether another speaker has a turn between these times, for more than so many seconds."""
    return any(
        min(turn.end, end) - max(turn.start, start) > least_s
        for turn in turns
        if turn.speaker != speaker
    )
