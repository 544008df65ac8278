"""The pipeline behind ``pipeline("audio-classification", model=..., trust_remote_code=True)``."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import repeat
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers.utils import logging

from .audio import SAMPLING_RATE, AudioError, Cleaning
from .calibration import FittedPipeline
from .inputs import Clip, Preparation, as_list, check_texts, each, is_one_clip, prepared, unbatched
from .labels import Labels
from .live import Live, live_options
from .recordings import Recorded, RecordingWindows, channels_of, length_of, rereadable
from .results import (
    Options,
    clip_result,
    conversation_result,
    mark_overlap,
    recording_result,
    speaker_names,
)
from .scoring import ClipScorer, return_freed_memory
from .transcription import make_transcriber
from .turns import WHOLE, Turn

logger = logging.get_logger(__name__)

NO_TRANSCRIBER = "no transcriber was asked for"
AUDIO_ONLY = "this model is audio-only: it reads no text"

AHEAD = 4
"""Batches of a list or data set that are sorted by length together."""

AHEAD_SECONDS = 600
"""Audio that is held while they are gathered."""

LONG_RECORDING_S = 60
"""Shortest recording for which worker processes are started."""


class SpeechTextEmotionPipeline(FittedPipeline):
    """Emotions in the voice and the words of a clip (paper, Figure 6).

    A clip is cleaned with the settings in the model's config, transcribed, and classified from
    audio and text.

    Args:
        transcriber: ``"none"``; a transformers id or folder of a transcriber;
            ``"openai-whisper:<name or file>"``; or ``"faster-whisper:<name or folder>"``. That of
            the model's config when not given. When its weights are not found, the model classifies
            from audio only, with one warning.
        language: spoken language, for multilingual classifiers; detected when not given.
        transcript_cache: folder in which transcripts are kept by the hash of the audio.
        short_context: let Whisper read the length of the clip instead of 30 s: faster, but the
            transcript may differ.

    Any option of a call may be given here as well, and is then the default. Call it with a path,
    the bytes of a file, a numpy array at 16 kHz, ``{"array" | "raw", "sampling_rate"}``, a datasets
    ``AudioDecoder`` or row, or Gradio's ``(rate, array)``; or with a list, a generator or a data
    set of these.

    Keyword arguments of a call:
        text: the transcript, if it is known; the transcriber is then not called. An empty one
            stands for no transcript. For a list of clips, a list of the same length.
        top_k: how many emotions to return; all when not given.
        labels: a dict that renames or merges labels (``{"happy": "positive"}``; to ``None`` leaves
            one out), a list of those to keep, or ``"seven_class"``, ``"four_class"``,
            ``"valence"``, ``"arousal"``.
            Probabilities are added up and renormalised.
        abstain_below: give no label when the highest probability is lower: 0 to 1.
        contributions: return the audio-only and text-only probabilities as well.
        dimensions: return valence and arousal as well, from the probabilities; see
            :data:`~hub_model.labels.VALENCE_AROUSAL`.
        tasks: return the further heads of the model's config as well.
        return_transcript: return the transcript.
        return_segments: cut a recording of any length into windows and segments; files are read
            from disk block by block.
        window_s: length of a window in seconds; 4 when not given.
        hop_s: seconds from one window to the next; half a window when not given.
        smoothing: windows, an odd number, of the moving average; 3 when not given, 1 for none.
        speakers: with ``return_segments``: ``"channels"``, or a list of their names, when every
            channel of the recording holds one speaker, as in recorded calls; or, for a single
            recording, a list of turns, ``{"start", "end", "speaker"}`` in seconds, within which
            windows are cut; or a function that returns the turns of a recording, such as
            ``speech_emotion.predict.diarisation.diarise``. Segments, windows and words then have a
            ``speaker``, with turns also ``overlap``: whether another speaker has a turn at that
            time; and ``speakers`` sums up each.
        clean: ``False`` when the audio has already been cleaned.
        check_speech: ``False`` to classify noise as well. Otherwise a clip of noise is an error,
            and a window without speech has the label ``"no speech"``.
        batch_size: most clips in a batch, of at most two minutes of audio together; 8 when not
            given. The result does not depend on it.
        num_workers: processes that decode and clean; 0 for none.

    Returns:
        ``[{"label", "score"}]`` sorted by score. With ``return_transcript``, ``return_segments``,
        ``contributions``, ``dimensions``, ``tasks`` or ``abstain_below`` a dict with

        - ``emotions``, that list (empty when there is no speech in a recording),
        - ``transcript``, ``transcript_source``, ``transcript_confidence``, and ``note``, the reason
          for a missing transcript; ``modalities``, what the model got,
        - with ``abstain_below``: ``label``, ``None`` when ``abstained``,
        - with ``contributions``: see :func:`~hub_model.labels.contributions`,
        - with ``dimensions``: that dict, ``{"valence", "arousal", "source"}``, for windows as well,
        - with ``tasks``: see :func:`~hub_model.tasks.task_results`; with speakers, those of each,
        - with ``return_segments``: ``seconds``, ``windows`` (:func:`~hub_model.timeline.table_of`),
          ``segments`` (:func:`~hub_model.timeline.segments_of`), ``words`` (``start``, ``end`` and
          ``text`` of each; ``None`` without a transcriber that gives their times) and ``summary``
          (:func:`~hub_model.results.summary_of`, :func:`~hub_model.results.strongest_of`).

        For a list of clips a list of these, in which an unusable clip is ``{"error": "one line"}``;
        for a generator or a data set an iterator.

    Raises:
        AudioError: a single clip cannot be used.
        ValueError: an option is outside its range, or needs another one.

    Example:
        >>> from transformers import pipeline
        >>> classifier = pipeline(
        ...     "audio-classification", model="checkpoints/mini", trust_remote_code=True,
        ...     transcriber="none",
        ... )
        >>> [sorted(row) for row in classifier("examples/angry.wav", top_k=1)]
        [['label', 'score']]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    supports_text = True
    """For callers that handle any audio classifier: this one takes ``text``."""

    def __init__(
        self,
        *args: Any,
        transcriber: str | None = None,
        language: str | None = None,
        transcript_cache: str | os.PathLike | None = None,
        short_context: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise ValueError("this pipeline needs the model's processor")
        self.cleaning = Cleaning.from_dict(self.model.config.cleaning)
        self.transcriber = make_transcriber(
            transcriber or self.model.config.transcriber,
            device=self.device,
            language=language,
            cache=transcript_cache,
            short_context=short_context,
        )
        why_not = None if self.transcriber else NO_TRANSCRIBER
        if not self.model.config.use_text:
            why_not = AUDIO_ONLY
        self._scorer = ClipScorer(self.processor, self._logits, self.transcriber, why_not)

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
        num_workers: int | None = None,
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

    def _sizes(self, batch_size: int | None, num_workers: int | None) -> tuple[int, int]:
        batch_size = (self._batch_size or 8) if batch_size is None else batch_size
        workers = (self._num_workers or 0) if num_workers is None else num_workers
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if workers < 0:
            raise ValueError(f"num_workers must be at least 0, not {workers}")
        return batch_size, workers

    def _rows(
        self,
        sources: Iterable[Any],
        texts: Iterable[str | None] | None,
        asked: Options,
        ahead: int,
        batch_size: int,
        workers: int,
    ) -> Iterator[Any]:
        """Yield one row per source, in order."""
        if not asked.return_segments:
            options = asked.given
            for clip in self._clips(sources, texts, asked, ahead, batch_size, workers):
                yield self.postprocess(clip, **options)
            return
        texts = repeat(None) if texts is None else texts
        for source, text in zip(each(sources), texts, strict=not isinstance(texts, repeat)):
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
        self, source: Any, text: str | None, asked: Options, batch_size: int, workers: int
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
            for speaker, channel in zip(
                speaker_names(asked, name, len(channels)), channels, strict=True
            ):
                recorded = self._windows(channel, text, asked, batch_size, workers)
                rows[speaker] = recording_result(recorded, **options)
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

    def _logits(
        self, inputs: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits ``(batch, num_labels)``, with the logit bias, and further heads: float32, CPU."""
        inputs = self._ensure_tensor_on_device(inputs, device=self.device)
        sound = {"input_values", "input_features"} & set(inputs)
        for name in sound:
            inputs[name] = inputs[name].to(self.model.dtype)
        output = self.model(**inputs)
        logits = output.logits.float().cpu()
        # An exported model has the logits only.
        tasks = getattr(output, "task_outputs", None) or {}
        if sound:
            logits = logits + torch.from_numpy(self._logit_bias())
        return logits, {name: values.float().cpu() for name, values in tasks.items()}

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
        workers: int,
        separate: Sequence[str] | None = None,
    ) -> Iterator[Clip]:
        """Yield one scored clip per source, reading no more than ``ahead`` clips ahead."""
        separate = asked.separate if separate is None else separate
        batch: list[Clip] = []
        prepare = self._preparation(asked.clean, asked.check_speech)
        clips = prepared(sources, prepare, workers=workers)
        texts = repeat(None) if texts is None else texts
        held = 0.0
        for clip, text in zip(clips, texts, strict=not isinstance(texts, repeat)):
            batch.append(self._with_text(clip, text))
            held += clip.seconds
            if len(batch) == ahead or held > AHEAD_SECONDS:
                yield from self.forward(batch, batch_size=batch_size, separate=separate)
                batch, held = [], 0.0
        yield from self.forward(batch, batch_size=batch_size, separate=separate)

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
        workers: int,
        turns: Sequence[Turn] = WHOLE,
    ) -> Recorded:
        """Score the windows of a recording, holding the audio of few of them.

        Its speech is transcribed chunk by chunk, and a window waits for the words inside it.
        """
        seconds = length_of(source)
        workers = workers if seconds and seconds >= LONG_RECORDING_S else 0
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
                for clip in self.forward(batch, batch_size=batch_size, separate=asked.separate):
                    clip.forget_audio()
                return_freed_memory()

        with tqdm(total=seconds, unit="s", unit_scale=True, leave=False, disable=None) as bar:
            for step in unbatched(data, workers):
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

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write a complete model folder: weights, code, tokenizer and feature extractor."""
        os.makedirs(save_directory, exist_ok=True)
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        self.processor.feature_extractor.save_pretrained(save_directory)
