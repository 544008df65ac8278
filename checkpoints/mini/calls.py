"""Calls of the classifier: sources in, results out, whatever runs the model.

Neither torch nor transformers is imported here, so that an exported model runs without them.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import repeat
from typing import Any

from tqdm.auto import tqdm

from .audio import SAMPLING_RATE, AudioError, Cleaning
from .calibration import Fitting
from .inputs import (
    Clip,
    Preparation,
    as_list,
    check_texts,
    each,
    has_numbers,
    is_one_clip,
    prepared,
)
from .labels import Labels
from .live import Live, live_options
from .recordings import (
    Recorded,
    RecordingWindows,
    channels_of,
    length_of,
    rereadable,
    turns_in,
)
from .results import (
    Options,
    clip_result,
    conversation_result,
    mark_overlap,
    recording_result,
    speaker_names,
)
from .scoring import ClipScorer, return_freed_memory
from .speech_chunks import TOUCHING_S
from .turns import WHOLE, Turn
from .workers import CAN_FORK, in_processes

NO_TRANSCRIBER = "no transcriber was asked for"
AUDIO_ONLY = "this model is audio-only: it reads no text"

AHEAD = 4
"""Batches of a list or data set that are sorted by length together."""

AHEAD_SECONDS = 600
"""Audio that is held while they are gathered."""

LONG_RECORDING_S = 60
"""Shortest recording for which worker processes are started."""


AUTO = "auto"
"""``num_workers`` that is chosen by the machine and the number of clips."""


class EmotionCalls(Fitting):
    """The calls of :class:`~.pipeline_hubert_bert.SpeechTextEmotionPipeline`, which documents them.

    A subclass has these attributes and ``forward``, as a ``transformers.Pipeline`` has them.

    Attributes:
        model: its ``config`` is that of the model.
    """

    model: Any
    forward: Any
    _scorer: ClipScorer
    _preprocess_params: dict[str, Any]
    _postprocess_params: dict[str, Any]
    _batch_size: int | None
    _num_workers: int | str | None

    @property
    def _copies(self) -> bool:
        """Whether a copy of this process can run the model."""
        return True

    @property
    def cleaning(self) -> Cleaning:
        """How a clip is cleaned."""
        return Cleaning.from_dict(self.model.config.cleaning)

    def _sanitize_parameters(
        self, text: Any = None, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        unknown = set(options) - {field.name for field in fields(Options)}
        if unknown:
            raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
        given = {name: value for name, value in options.items() if value is not None}
        before = {name: given[name] for name in ("clean", "check_speech") if name in given}
        return before | ({} if text is None else {"text": text}), {}, given

    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        num_workers: int | str | None = None,
        **options: Any,
    ) -> Any:
        """Classify one clip or many; see the class for the arguments."""
        before, _, given = self._sanitize_parameters(**options)
        text = {**self._preprocess_params, **before}.get("text")
        asked = Options(**{**self._postprocess_params, **given})
        batch_size, workers = self._sizes(batch_size, num_workers)
        inputs = as_list(inputs)
        if is_one_clip(inputs):
            if text is not None and not isinstance(text, str):
                raise ValueError("text of a single clip must be one string")
            row = next(self._rows([inputs], [text], asked, 1, batch_size, workers))
            if isinstance(row, dict) and "error" in row:
                raise AudioError(row["error"])
            return row
        if asked.turns is not WHOLE:
            raise ValueError("speakers: turns are those of one recording, so call it for each")
        check_texts(text, inputs)
        ahead = AHEAD * batch_size if hasattr(inputs, "__len__") else batch_size
        rows = self._rows(inputs, text, asked, ahead, batch_size, workers)
        return list(rows) if isinstance(inputs, list | tuple) else rows

    def live(self, *, sampling_rate: float = SAMPLING_RATE, **options: Any) -> Live:
        """Start a recording that is classified while it is made; see :class:`~.live.Live`."""
        asked = live_options(self._postprocess_params, options)
        results = self._of_results(asked)
        return Live(
            asked,
            sampling_rate=sampling_rate,
            prepare=self._preparation(asked.clean, asked.check_speech),
            score=lambda clip: self.forward([self._with_text(clip, "")], batch_size=1),
            labels=results["labels"],
            temperature=results["temperature"],
        )

    def _sizes(
        self, batch_size: int | None, num_workers: int | str | None
    ) -> tuple[int, int | str]:
        batch_size = (self._batch_size or 8) if batch_size is None else batch_size
        workers = (self._num_workers or 0) if num_workers is None else num_workers
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if workers != AUTO and (not isinstance(workers, int) or workers < 0):
            raise ValueError(f'num_workers must be at least 0, or "auto", not {workers}')
        return batch_size, workers

    def _rows(
        self,
        sources: Iterable[Any],
        texts: Iterable[str | None] | None,
        asked: Options,
        ahead: int,
        batch_size: int,
        workers: int | str,
    ) -> Iterator[Any]:
        """Yield one row per source, in order."""
        if not asked.return_segments:
            options = asked.given
            for clip in self._clips(sources, texts, asked, ahead, batch_size, workers):
                yield self.postprocess(clip, **options)
            return
        for source, text in _pairs(each(sources), texts):
            if text:
                raise ValueError(
                    "text: the times of its words are not known; with return_segments it can only "
                    "be empty, for audio-only results"
                )
            try:
                yield self._recording(source, text, asked, batch_size, workers)
            except AudioError as error:
                yield {"error": str(error)}

    def _recording(
        self, source: Any, text: str | None, asked: Options, batch_size: int, workers: int | str
    ) -> dict[str, Any]:
        """The result of a recording, or of the speakers in it."""
        if callable(asked.speakers):
            source = rereadable(source)
            asked = replace(asked, speakers=asked.speakers(source))
        whole = replace(asked, top_k=None) if asked.speakers else asked
        options: dict[str, Any] = {"asked": whole, **self._of_results(asked)}
        if not asked.speakers:
            return recording_result(
                self._windows(source, text, asked, batch_size, workers), **options
            )
        turns, rows = asked.turns, {}
        if turns is not WHOLE:
            recorded = self._windows(source, text, asked, batch_size, workers, turns)
            for speaker in dict.fromkeys(turn.speaker for turn in turns):
                rows[speaker] = recording_result(recorded.of_speaker(speaker), **options)
            mark_overlap(rows, turns)
        else:
            name, channels = channels_of(source)
            names = speaker_names(asked, name, len(channels))
            turns = []
            for speaker, channel in zip(names, channels, strict=True):
                mine = turns_in(channel, speaker, check_speech=asked.check_speech)
                recorded = self._windows(channel, text, asked, batch_size, workers, mine)
                rows[speaker] = recording_result(recorded, **options)
                turns += mine
            mark_overlap(rows, turns, least_s=TOUCHING_S)
        return conversation_result(rows, abstain_below=asked.abstain_below, top_k=asked.top_k)

    def preprocess(
        self, input_: Any, *, text: str | None = None, clean: bool = True, check_speech: bool = True
    ) -> Clip:
        """Decode, check and clean one clip; an error is kept in the clip, not raised."""
        return self._with_text(self._preparation(clean, check_speech)(input_), text)

    def _forward(
        self, clips: Clip | list[Clip], *, batch_size: int = 1, separate: Sequence[str] = ()
    ) -> Clip | list[Clip]:
        """Transcribe and classify clips in place; those with an error stay as they are."""
        members = [clips] if isinstance(clips, Clip) else clips
        self._scorer.score(members, batch_size=batch_size, separate=separate)
        return clips

    def postprocess(self, clip: Clip, **options: Any) -> Any:
        """Turn the logits ``(num_labels,)`` of a clip into the result that the options ask for."""
        asked = Options(**options)
        return clip_result(clip, asked=asked, **self._of_results(asked))

    def _of_results(self, asked: Options) -> dict[str, Any]:
        config = self.model.config
        labels = Labels(list(config.id2label.values()), asked.labels)
        tasks = getattr(config, "tasks", None)
        if asked.tasks and not tasks:
            raise ValueError("tasks: this model has no head but that of the emotion")
        return {"labels": labels, "temperature": config.temperature, "tasks": tasks}

    def _preparation(self, clean: bool, check_speech: bool) -> Preparation:
        window_s = self.model.config.window_s
        return Preparation(self.cleaning, window_s, clean=clean, check_speech=check_speech)

    def _clips(
        self,
        sources: Iterable[Any],
        texts: Iterable[str | None] | None,
        asked: Options,
        ahead: int,
        batch_size: int,
        workers: int | str,
        separate: Sequence[str] | None = None,
    ) -> Iterator[Clip]:
        """Yield one scored clip per source, reading no more than ``ahead`` clips ahead."""
        separate = asked.separate if separate is None else separate
        prepare = self._preparation(asked.clean, asked.check_speech)
        score = partial(self._scored, ahead=ahead, batch_size=batch_size, separate=separate)
        copies = (workers == AUTO or int(workers) > 1) and self._copied(sources, texts)
        if workers == AUTO:
            most = len(sources) // ahead if copies else 0  # type: ignore[arg-type]
            workers = min(cores(), most) if most > 1 else 0
            copies = workers > 1
        if copies:
            produce = partial(self._groups, sources, texts, prepare, score, ahead)
            groups = in_processes(produce, int(workers))
        else:
            clips = prepared(sources, prepare, workers=int(workers))
            groups = score(self._with_text(clip, text) for clip, text in _pairs(clips, texts))
        for group in groups:
            yield from group

    def _copied(self, sources: Any, texts: Any) -> bool:
        """Whether copies of this process can predict whole batches of these sources."""
        if not (CAN_FORK and self._copies and has_numbers(sources)):
            return False
        if texts is not None and not has_numbers(texts):
            return False
        known = texts is not None and all(isinstance(text, str) for text in texts)
        return known or self._scorer.loaded() is None

    def _groups(
        self,
        sources: Any,
        texts: Any,
        prepare: Preparation,
        score: Callable[[Iterator[Clip]], Iterator[list[Clip]]],
        ahead: int,
        first: int,
        step: int,
    ) -> Iterator[list[Clip]]:
        """Yield every so many-th group of clips, scored."""
        for start in range(first * ahead, len(sources), step * ahead):
            places = range(start, min(start + ahead, len(sources)))
            clips = (
                self._with_text(prepare(sources[place]), texts[place] if texts else None)
                for place in places
            )
            yield [clip for group in score(clips) for clip in group]

    def _scored(
        self, clips: Iterator[Clip], *, ahead: int, batch_size: int, separate: Sequence[str]
    ) -> Iterator[list[Clip]]:
        """Gather clips and score them together; their audio is not kept."""
        batch: list[Clip] = []
        held = 0.0
        for clip in clips:
            batch.append(clip)
            held += clip.seconds
            if len(batch) == ahead or held > AHEAD_SECONDS:
                yield self._without_audio(batch, batch_size, separate)
                batch, held = [], 0.0
        if batch:
            yield self._without_audio(batch, batch_size, separate)

    def _without_audio(
        self, batch: list[Clip], batch_size: int, separate: Sequence[str]
    ) -> list[Clip]:
        self.forward(batch, batch_size=batch_size, separate=separate)
        for clip in batch:
            clip.forget_audio()
        return batch

    def _with_text(self, clip: Clip, text: str | None) -> Clip:
        if isinstance(text, float) and math.isnan(text):  # a missing value in a table
            text = None
        if text is not None and not isinstance(text, str):
            raise ValueError(f"a text must be a string or None, not {type(text).__name__}")
        if text is None or clip.error is not None or not self.model.config.use_text:
            return clip
        clip.set_text(text)
        return clip

    def _windows(
        self,
        source: Any,
        text: str | None,
        asked: Options,
        batch_size: int,
        workers: int | str,
        turns: Sequence[Turn] = WHOLE,
    ) -> Recorded:
        """Score the windows of a recording, holding the audio of few of them.

        Its speech is transcribed chunk by chunk, and a window waits for the words inside it.
        """
        seconds = length_of(source)
        alone = workers == AUTO or not seconds or seconds < LONG_RECORDING_S
        prepare = self._preparation(asked.clean, asked.check_speech)
        transcriber = self._scorer.loaded() if text is None else None
        recorded = Recorded(turns, transcriber.name if transcriber else None)
        data = RecordingWindows(
            source, asked.timeline, prepare, turns=turns, with_speech=transcriber is not None
        )
        waiting: list[Clip] = []

        def score(least: int) -> None:
            while len(waiting) >= least:
                batch = waiting[:batch_size]
                del waiting[:batch_size]
                self._without_audio(batch, batch_size, asked.separate)
                return_freed_memory()

        with tqdm(total=seconds, unit="s", unit_scale=True, leave=False, disable=None) as bar:
            for step in in_processes(data.steps, 0 if alone else int(workers), ahead=batch_size):
                if isinstance(step, str):
                    raise AudioError(step)
                for chunk in step.speech:
                    if recorded.words is not None:
                        speech = Clip(original=chunk.samples)
                        self.forward([speech], batch_size=1)
                        recorded.hear(chunk, speech)
                waiting += [self._with_text(clip, text) for clip in recorded.take(step)]
                if step.window is not None:
                    bar.update(max(0.0, step.window.end - bar.n))
                score(batch_size)
            score(1)
        recorded.windows.sort(key=lambda window: (window.turn, window.start))
        return recorded


def _pairs(
    sources: Iterable[Any], texts: Iterable[str | None] | None
) -> Iterable[tuple[Any, str | None]]:
    return zip(sources, repeat(None)) if texts is None else zip(sources, texts, strict=True)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
