"""Recordings of any length on their way to windows: reading, speech, words, turns, channels."""

import copy
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .audio import MIN_SECONDS, SAMPLING_RATE, AudioError
from .decoding import AudioStream
from .inputs import Clip, Preparation, unwrap
from .speech_activity import has_speech
from .speech_chunks import SpeechChunk, SpeechChunks, speech_turns, words_between
from .timeline import Timeline, Window
from .transcript import NO_WORD_TIMES, Word
from .turns import PAST_END_S, WHOLE, Turn, place_of


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is known after a part of a recording was read.

    Attributes:
        window: the next one; ``None`` at the end.
        speech: to be transcribed.
        heard: all speech before this time in seconds has been in ``speech`` by now.
        seconds, notes: at the end: the length, and what is unusual about the file.
    """

    window: Window | None = None
    speech: Sequence[SpeechChunk] = ()
    heard: float = math.inf
    seconds: float = 0.0
    notes: Sequence[str] = ()


class Recorded:
    """A recording whose windows are scored as it is read.

    Args:
        turns: by which it is cut.
        transcriber: name of the one that transcribes it; ``None`` for none.

    Attributes:
        windows: those that were read.
        words: of each turn, in the order of time; ``None`` when it is not transcribed as a whole.
        seconds: its length, known at the end.
        notes: on the file, and on what could not be transcribed.
    """

    def __init__(self, turns: Sequence[Turn] = WHOLE, transcriber: str | None = None) -> None:
        self.turns, self._transcriber = turns, transcriber
        self.windows: list[Window] = []
        self.words: list[list[Word]] | None = [[] for _ in turns] if transcriber else None
        self.seconds = 0.0
        self.notes: list[str] = []
        self._held: list[tuple[Window, Clip]] = []
        self._heard = 0.0

    def hear(self, chunk: SpeechChunk, clip: Clip) -> None:
        """Take the words of a chunk, or note why there are none.

        Each belongs to the turn that holds its middle.
        """
        if self.words is None or clip.words is None:
            self.words = None
            self.notes += [NO_WORD_TIMES] if clip.note == NO_WORD_TIMES else []
            return
        for word in sorted(chunk.in_recording(clip.words), key=lambda word: word.middle):
            self.words[place_of(word.middle, self.turns)].append(word)
        if clip.text is None:
            self.notes.append(f"{chunk.start:.0f} s to {chunk.end:.0f} s: {clip.note}")

    def take(self, step: Step) -> list[Clip]:
        """Take what was read; return the clips of the windows whose words are known by now."""
        if step.window is None:
            self.seconds = step.seconds
            self.notes += step.notes
        else:
            self.windows.append(step.window)
            if step.window.clip is not None:
                self._held.append((step.window, step.window.clip))
        self._heard = math.inf if self.words is None else max(self._heard, step.heard)
        ready = [held for held in self._held if held[0].end <= self._heard]
        self._held = [held for held in self._held if held[0].end > self._heard]
        for window, clip in ready:
            if self.words is not None and self._transcriber is not None:
                words = words_between(self.words[window.turn], window.start, window.end)
                clip.set_words(words, self._transcriber)
        return [clip for _, clip in ready]

    def of_speaker(self, name: str) -> "Recorded":
        """The same with the windows of one speaker."""
        mine = copy.copy(self)
        mine.windows = [w for w in self.windows if self.turns[w.turn].speaker == name]
        return mine


class RecordingWindows:
    """The windows of one recording; each of several processes prepares every n-th.

    Every worker reads the recording, as decoding takes little beside cleaning. What is wrong with
    the recording comes as its message, for an exception would lose its line between processes.
    Speech and notes come from one worker.

    Args:
        source: of the recording.
        timeline: how it is cut.
        prepare: makes a clip of a window.
        turns: within which it is cut.
        with_speech: gather its speech as well.
    """

    def __init__(
        self,
        source: Any,
        timeline: Timeline,
        prepare: Preparation,
        *,
        turns: Sequence[Turn] = WHOLE,
        with_speech: bool = False,
    ) -> None:
        self._source, self._timeline, self._prepare = source, timeline, prepare
        self._turns, self._with_speech = turns, with_speech

    def steps(self, mine: int, workers: int) -> Iterator[Step | str]:
        """Yield the steps of process number ``mine`` of so many, or what is wrong."""
        chunks = SpeechChunks(check_speech=self._prepare.check_speech, turns=self._turns)
        try:
            with AudioStream(unwrap(self._source)) as stream:
                counted = Counted(stream)
                if stream.seconds is not None:
                    self._check_turns(stream.name, stream.seconds)
                gathers = self._with_speech and mine == 0
                blocks = chunks.watch(counted) if gathers else iter(counted)
                windows = self._timeline.cut(blocks, self._turns)
                for turn, start, waveform in itertools.islice(windows, mine, None, workers):
                    window = window_of(self._prepare, start, waveform, turn)
                    if gathers:
                        yield Step(window=window, speech=chunks.take(), heard=chunks.heard)
                    else:
                        yield Step(window=window, heard=0.0 if self._with_speech else math.inf)
                if mine == 0:
                    self._check_turns(stream.name, counted.seconds)
                    yield Step(speech=chunks.take(), seconds=counted.seconds, notes=stream.notes)
        except AudioError as error:
            yield str(error)

    def _check_turns(self, name: str, seconds: float) -> None:
        for turn in self._turns:
            if turn.end < math.inf and not turn.start < seconds > turn.end - PAST_END_S:
                raise AudioError(f"{name}: {turn} is past its end, at {seconds:.2f} s")


def window_of(prepare: Preparation, start: int, waveform: np.ndarray, turn: int = 0) -> Window:
    """A window that begins at a sample; float32 ``(num_samples,)`` at 16 kHz, cleaned by itself."""
    clip = None
    judged = waveform.size >= MIN_SECONDS * SAMPLING_RATE
    if judged and (not prepare.check_speech or has_speech(waveform)):
        clip = prepare.of(waveform)
    end = start + waveform.size
    return Window(start / SAMPLING_RATE, end / SAMPLING_RATE, clip, turn=turn)


class Counted:
    """Blocks of samples, and how long they were together."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks, self.seconds = blocks, 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.seconds += block.size / SAMPLING_RATE
            yield block


def length_of(source: Any) -> float | None:
    """Seconds of a recording, where they are known before it is read.

    Raises:
        AudioError: it cannot be opened.
    """
    if _is_pipe(source):
        return None  # what is read from a pipe is gone
    with AudioStream(unwrap(source)) as stream:
        return stream.seconds


def rereadable(source: Any) -> Any:
    """A recording, as in a call, that can be read twice: a pipe or a file is read into memory."""
    source = unwrap(source)
    if hasattr(source, "read") and not hasattr(source, "get_all_samples"):
        return source.read()
    return Path(source).read_bytes() if _is_pipe(source) else source


def channels_of(source: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a recording, and its channels as recordings of their own.

    Args:
        source: of one recording, as in a call.

    Raises:
        AudioError: it cannot be opened, or has one channel only.
    """
    source = rereadable(source)
    if isinstance(source, str | os.PathLike):
        source = {"path": source}
    elif isinstance(source, bytes | bytearray | memoryview):
        source = {"bytes": source}
    elif isinstance(source, tuple) and len(source) == 2:
        rate, array = source if np.isscalar(source[0]) else source[::-1]
        source = {"array": array, "sampling_rate": rate}
    elif not isinstance(source, dict):
        source = {"array": source, "sampling_rate": SAMPLING_RATE}
    with AudioStream({**source, "channel": 0}) as stream:
        name, number = stream.name, stream.channels
    if number == 1:
        raise AudioError(f"{name}: it has one channel, so its speakers are not told by channels")
    return name, [{**source, "channel": channel} for channel in range(number)]


def turns_in(source: Any, speaker: str, *, check_speech: bool = True) -> list[Turn]:
    """The turns of a recording with one speaker; without ``check_speech`` it is one turn.

    Raises:
        AudioError: it cannot be read.
    """
    if not check_speech:
        return [Turn(speaker=speaker)]
    with AudioStream(source) as stream:
        return speech_turns(stream, speaker)


def _is_pipe(source: Any) -> bool:
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return path.exists() and not path.is_file() and not path.is_dir()
