"""The speech of a recording: in chunks for a transcriber, or as the turns of its one speaker."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .decoding import SAMPLING_RATE
from .speech_activity import spoken
from .transcript import CHUNK_S, Word
from .turns import WHOLE, Turn

MARGIN = round(0.3 * SAMPLING_RATE)
"""Samples before and after a voice that belong to its speech: consonants, and breath."""

EDGE_S = 0.2
"""Seconds before and after a voice that belong to its turn."""

PAUSE_S = 0.5
"""A longer pause between two voiced sounds ends a turn."""

TOUCHING_S = 2 * EDGE_S + 0.05
"""Turns of two channels that follow each other at once overlap by less."""

GAP = round(0.5 * SAMPLING_RATE)
"""Shorter gaps between two parts of speech stay in a chunk."""

QUIET = round(0.1 * SAMPLING_RATE)
"""A chunk ends in the quietest frame of so many samples in its second half."""


@dataclass(frozen=True)
class SpeechChunk:
    """Speech without the silence between.

    Attributes:
        samples: float32 ``(num_samples,)``, at most 30 s at 16 kHz.
        places: of each part its first sample here, and in the recording.
    """

    samples: np.ndarray
    places: Sequence[tuple[int, int]]

    @property
    def start(self) -> float:
        """Where it begins in the recording, in seconds."""
        return self.places[0][1] / SAMPLING_RATE

    @property
    def end(self) -> float:
        """Where it ends in the recording, in seconds."""
        offset, place = self.places[-1]
        return (place + self.samples.size - offset) / SAMPLING_RATE

    def in_recording(self, words: Iterable[Word]) -> list[Word]:
        """The words with the times of the recording: each in the part that holds its middle.

        Whisper may give the last word before a pause no length, and the time after it: such a word
        is in the part of the word before.
        """
        ends = [*(offset for offset, _ in self.places[1:]), self.samples.size]
        found: list[Word] = []
        part = 0
        for word in words:
            if word.start < word.end or not found:
                part = min(bisect_left(ends, word.middle * SAMPLING_RATE), len(ends) - 1)
            offset, place = self.places[part]
            times = [
                (place + min(max(round(time * SAMPLING_RATE), offset), ends[part]) - offset)
                / SAMPLING_RATE
                for time in (word.start, word.end)
            ]
            found.append(Word(times[0], times[1], word.text, word.confidence))
        return found


class SpeechChunks:
    """Gathers speech while a recording is read.

    Args:
        check_speech: leave out what is no speech.
        turns: leave out what is in none of them.

    Attributes:
        heard: all speech before this time in seconds was in the chunks that were taken.
    """

    def __init__(self, *, check_speech: bool = True, turns: Sequence[Turn] = WHOLE) -> None:
        self._check_speech = check_speech
        self._turns = turns
        self._audio, self._first = np.zeros(0, dtype=np.float32), 0
        self._parts: list[list[int]] = []
        self._done: list[SpeechChunk] = []
        self.heard = 0.0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass blocks (float32 ``(num_samples,)``, 16 kHz) on, and gather their speech."""
        for block in blocks:
            start = self._first + self._audio.size
            self._audio = np.concatenate([self._audio, block])
            parts = spoken(block) if self._check_speech else [(0, block.size)]
            end = start + block.size
            near = [
                turn
                for turn in self._turns
                if turn.start * SAMPLING_RATE < end + 2 * MARGIN
                and turn.end * SAMPLING_RATE > start - 2 * MARGIN
            ]
            for first, last in parts:
                self._add(start + first - MARGIN, start + last + MARGIN, near)
            self._cut(CHUNK_S * SAMPLING_RATE)
            yield block
        self._cut(1)
        self.heard = math.inf

    def take(self) -> list[SpeechChunk]:
        """The chunks since the last call."""
        done, self._done = self._done, []
        return done

    def _add(self, first: int, last: int, turns: Sequence[Turn]) -> None:
        for turn in turns:
            start = max(0, first, round(turn.start * SAMPLING_RATE) - MARGIN)
            end = last if turn.end == math.inf else round(turn.end * SAMPLING_RATE) + MARGIN
            end = min(last, end)
            if start < end and self._parts and start <= self._parts[-1][1] + GAP:
                self._parts[-1][1] = max(self._parts[-1][1], end)
            elif start < end:
                self._parts.append([start, end])

    def _cut(self, least: int) -> None:
        """Make chunks of what is gathered, while it is ``least`` samples long."""
        known = self._first + self._audio.size
        while sum(min(end, known) - start for start, end in self._parts) >= least:
            pieces = [
                self._audio[start - self._first : min(end, known) - self._first]
                for start, end in self._parts
            ]
            speech = np.concatenate(pieces)
            size = _quietest(speech) if speech.size > CHUNK_S * SAMPLING_RATE else speech.size
            places, offset = [], 0
            for piece, part in zip(pieces, self._parts, strict=True):
                if offset < size:
                    places.append((offset, part[0]))
                part[0] += min(piece.size, max(0, size - offset))
                offset += piece.size
            self._parts = [part for part in self._parts if part[0] < part[1]]
            self._done.append(SpeechChunk(speech[:size], places))
        waiting = self._parts[0][0] if self._parts else known - MARGIN
        self.heard = min(waiting, known - MARGIN) / SAMPLING_RATE
        keep = max(self._first, min(waiting, known - MARGIN))
        self._audio, self._first = self._audio[keep - self._first :], keep


def speech_turns(blocks: Iterable[np.ndarray], speaker: str) -> list[Turn]:
    """The turns of the only speaker of a recording: its speech without pauses over :data:`PAUSE_S`.

    Args:
        blocks: float32 ``(num_samples,)``, 16 kHz, one after the other.
    """
    parts: list[list[int]] = []
    edge, end = round(EDGE_S * SAMPLING_RATE), 0
    joined = round(PAUSE_S * SAMPLING_RATE) - 2 * edge
    for block in blocks:
        begin, end = end, end + block.size
        for first, last in spoken(block):
            start, stop = max(0, begin + first - edge), begin + last + edge
            if parts and start <= parts[-1][1] + joined:
                parts[-1][1] = stop
            else:
                parts.append([start, stop])
    return [Turn(a / SAMPLING_RATE, min(b, end) / SAMPLING_RATE, speaker) for a, b in parts]


def _quietest(speech: np.ndarray) -> int:
    """Where to end a chunk: in the middle of the quietest frame of its second half."""
    half, end = CHUNK_S * SAMPLING_RATE // 2, CHUNK_S * SAMPLING_RATE
    frames = np.square(speech[half:end]).reshape(-1, QUIET).mean(axis=1)
    return half + int(frames.argmin()) * QUIET + QUIET // 2


def words_between(words: Sequence[Word], start: float, end: float) -> Sequence[Word]:
    """Those of the words, which are in the order of their middles, whose middle lies there."""
    low, high = (bisect_left(words, time, key=lambda word: word.middle) for time in (start, end))
    return words[low:high]
