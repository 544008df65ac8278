"""The pipeline behind ``pipeline("audio-classification", model=..., trust_remote_code=True)``."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import repeat
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging

from .adaptation import emotion_means, fit_shift
from .answers import Labels
from .audio import AudioError, Cleaning
from .calibration import fit_temperature
from .inputs import Clip, Preparation, each, is_one_clip, prepared, unbatched
from .memory import return_freed_memory
from .model_card import write_model_card
from .options import Options
from .rows import clip_row, recording_row
from .scoring import ClipScorer
from .timeline import WINDOW_S, RecordingWindows, Window, length_of
from .transcription import make_transcriber

logger = logging.get_logger(__name__)

NO_TRANSCRIBER = "no transcriber was asked for"
VOICE_ALONE = "this model hears the voice alone"

AHEAD = 4
"""Batches of a list or data set that are sorted by length together."""

AHEAD_SECONDS = 600
"""Audio that is held while they are gathered."""

LONG_RECORDING_S = 60
"""From here on a recording is worth processes of its own."""


class SpeechTextEmotionPipeline(Pipeline):
    """Emotions heard and said in a clip (paper, Figure 6).

    The clip is cleaned as the training clips were, transcribed, and classified from both.

    Args:
        transcriber: ``"none"``; a transformers id or folder of a speech recogniser; or
            ``"openai-whisper:<name or file>"``. That of the model's config when not given. When
            its weights can be found nowhere, the answer comes from the audio alone, which is
            said once.
        language: spoken language, for multilingual recognisers; detected when not given.
        transcript_cache: folder in which transcripts are kept by the hash of the audio.

    Any option of a call may be given here as well, and is then the default.

    Call it with a path, the bytes of a file, a numpy array at 16 kHz, ``{"array" | "raw",
    "sampling_rate"}``, a datasets ``AudioDecoder`` or row, or Gradio's ``(rate, array)``; or with
    a list, a generator or a data set of these.

    Keyword arguments of a call:
        text: the transcript, if it is known; it wins over the transcriber. An empty one says
            that there is none. For a list of clips, a list of the same length.
        top_k: how many emotions to return; all when not given.
        labels: a dict that renames or merges labels (``{"happy": "positive"}``; to ``None`` leaves
            one out), a list of those to keep, or ``"four_class"``, ``"valence"``, ``"arousal"``.
            Probabilities are added up and renormalised.
        abstain_below: do not decide when the highest probability is lower: 0 to 1.
        contributions: say what the audio alone and the text alone would answer.
        return_transcript: say what was heard.
        return_segments: cut a recording of any length into windows and segments; files are read
            from disk block by block.
        window_s: length of a window in seconds; 4 when not given.
        hop_s: seconds from one window to the next; half a window when not given.
        smoothing: windows, an odd number, of the moving average; 3 when not given, 1 for none.
        clean: ``False`` when the audio has already been cleaned.
        check_speech: ``False`` to answer for noise, too. Otherwise a clip that is nothing but
            noise is an error, and a window in which nobody speaks is ``"no speech"``.
        batch_size: how many clips go through the model at once, at most, and as long as they make
            no more than two minutes together; 8 when not given. The result does not depend on it.
        num_workers: processes that decode and clean.

    Returns:
        ``[{"label", "score"}]`` sorted by score. With ``return_transcript``, ``return_segments``,
        ``contributions`` or ``abstain_below`` a dict with

        - ``emotions``, that list (empty when there is no speech in a recording),
        - ``transcript``, ``transcript_source``, ``transcript_confidence``, and ``note``, why there
          is no transcript; ``modalities``, what the answer rests on,
        - with ``abstain_below``: ``label``, ``None`` when ``abstained``,
        - with ``contributions``: see :func:`~hub_model.answers.contributions`,
        - with ``return_segments``: ``seconds``, ``windows`` (:func:`~hub_model.timeline.table_of`)
          and ``segments`` (:func:`~hub_model.timeline.segments_of`).

        For a list of clips a list of these, in which an unusable clip is ``{"error": "one line"}``;
        for a generator or a data set an iterator.

    Raises:
        AudioError: a single clip cannot be used.
        ValueError: an option is outside its range, or needs another one.

    Example:
        >>> from transformers import pipeline
        >>> recogniser = pipeline(
        ...     "audio-classification", model="checkpoints/mini", trust_remote_code=True,
        ...     transcriber="none",
        ... )
        >>> [sorted(row) for row in recogniser("examples/angry.wav", top_k=1)]
        [['label', 'score']]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    supports_text = True
    """Tells a caller that handles any audio classifier that this one takes ``text``."""

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
            why_not = VOICE_ALONE
        self._scorer = ClipScorer(self.processor, self.forward, self.transcriber, why_not)

    def _sanitize_parameters(
        self, text: Any = None, **options: Any
    ) -> tuple[dict[str, Any], dict, dict[str, Any]]:
        unknown = set(options) - {field.name for field in fields(Options)}
        if unknown:
            raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
        given = {name: value for name, value in options.items() if value is not None}
        return ({} if text is None else {"text": text}), {}, given

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
        if is_one_clip(inputs):
            if text is not None and not isinstance(text, str):
                raise ValueError("text of a single clip must be one string")
            row = next(self._rows([inputs], [text], asked, 1, batch_size, workers))
            if isinstance(row, dict) and "error" in row:
                raise AudioError(row["error"])
            return row
        _refuse_texts(text, inputs)
        ahead = AHEAD * batch_size if hasattr(inputs, "__len__") else batch_size
        rows = self._rows(inputs, text, asked, ahead, batch_size, workers)
        return list(rows) if isinstance(inputs, list | tuple) else rows

    def calibrate(
        self,
        clips: Any,
        labels: Sequence[str | int],
        *,
        text: Sequence[str | None] | None = None,
        clean: bool = True,
        batch_size: int | None = None,
        num_workers: int | None = None,
    ) -> float:
        """Fit the temperature on clips that the model did not learn from.

        It is put into the model's config, from where :meth:`save_pretrained` writes it. The order
        of the emotions does not change, only the confidence. With clips of every emotion, what each
        gets on average is noted as well, for :meth:`adapt`. Clips that cannot be used are left out,
        with a warning.

        Args:
            clips: a list or data set of clips, as in a call.
            labels: the true emotion of each, by name or id.
            text, clean, batch_size, num_workers: as in a call.

        Returns:
            the temperature.

        Raises:
            ValueError: an unknown label, another number of labels than of clips, or no clip that
                can be used.
        """
        ids = [self._label_id(label) for label in labels]
        if hasattr(clips, "__len__") and len(clips) != len(ids):
            raise ValueError(f"{len(ids)} labels for {len(clips)} clips")
        _refuse_texts(text, clips)
        batch_size, workers = self._sizes(batch_size, num_workers)
        asked = Options(clean=clean, check_speech=False)
        answered = self._clips(
            clips, text, asked, AHEAD * batch_size, batch_size, workers, alone=("audio",)
        )
        pairs = list(zip(answered, ids, strict=True))
        for clip, _ in pairs:
            if clip.error is not None:
                logger.warning(f"Left out of the calibration: {clip.error}")
        pairs = [(clip.logits, label) for clip, label in pairs if clip.error is None]
        if not pairs:
            raise ValueError("no clip can be used for calibration")
        ids = [label for _, label in pairs]
        fused, audio = (
            torch.stack([logits[name] for logits, _ in pairs]).numpy()
            for name in ("fused", "audio")
        )
        config = self.model.config
        config.temperature = fit_temperature(ids, fused)
        config.emotion_logits = emotion_means(ids, audio + self._shift())
        return config.temperature

    def adapt(
        self,
        recordings: Any,
        *,
        clean: bool = True,
        batch_size: int | None = None,
        num_workers: int | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> dict[str, float]:
        """Fit the model to the recordings of one voice, room or microphone; no label is needed.

        What they add to the logits of all their clips is put into the model's config, and taken off
        from then on; see :func:`~hub_model.adaptation.fit_shift`. A longer recording counts as
        several clips. Recordings that cannot be used are left out.

        Args:
            recordings: a list, generator or data set of them, as in a call. Ten clips do much, if
                they hold several emotions.
            clean, batch_size, num_workers: as in a call.
            on_error: called with the line that says why a recording was left out; when not given,
                it is logged as a warning.

        Returns:
            what is taken off the logit of each emotion.

        Raises:
            ValueError: the model was never calibrated with clips of every emotion, or there is no
                speech in any of the recordings.
        """
        config = self.model.config
        if config.emotion_logits is None:
            raise ValueError(
                "the model does not know what each emotion gets on average; calibrate it first, "
                "with clips of every emotion"
            )
        batch_size, workers = self._sizes(batch_size, num_workers)
        asked = Options(clean=clean, return_segments=True, hop_s=WINDOW_S)
        found = []
        for source in each(recordings):
            try:
                windows = self._windows(source, "", asked, batch_size, workers)
            except AudioError as error:
                (on_error or logger.warning)(str(error))
                continue
            clips = [window.clip for window in windows if window.clip is not None]
            found += [clip.logits["fused"] for clip in clips if clip.error is None]
        if not found:
            raise ValueError("no recording can be used: there is no speech in any")
        config.logit_shift = fit_shift(
            torch.stack(found).numpy() + self._shift(), config.emotion_logits
        )
        return {config.id2label[index]: value for index, value in enumerate(config.logit_shift)}

    def _shift(self) -> np.ndarray:
        config = self.model.config
        return np.array(config.logit_shift or [0.0] * config.num_labels, dtype=np.float32)

    def _label_id(self, label: str | int) -> int:
        names = self.model.config.id2label
        known = {**{name: index for index, name in names.items()}, **{i: i for i in names}}
        if label not in known:
            raise ValueError(f"unknown emotion: {label}; known are {', '.join(names.values())}")
        return known[label]

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
        labels = Labels(list(self.model.config.id2label.values()), asked.labels)
        if not asked.return_segments:
            for clip in self._clips(sources, texts, asked, ahead, batch_size, workers):
                yield self.postprocess(clip, asked=asked, labels=labels)
            return
        texts = repeat(None) if texts is None else texts
        for source, text in zip(each(sources), texts, strict=not isinstance(texts, repeat)):
            if text:
                raise ValueError(
                    "text: which of the words belong to which window is not known; with "
                    "return_segments it can only be empty, for an answer from the audio alone"
                )
            try:
                windows = self._windows(source, text, asked, batch_size, workers)
            except AudioError as error:
                yield {"error": str(error)}
                continue
            temperature = self.model.config.temperature
            yield recording_row(windows, asked=asked, labels=labels, temperature=temperature)

    def _preparation(self, asked: Options) -> Preparation:
        return Preparation(
            self.cleaning,
            self.model.config.window_s,
            clean=asked.clean,
            check_speech=asked.check_speech,
        )

    def _clips(
        self,
        sources: Iterable[Any],
        texts: Iterable[str | None] | None,
        asked: Options,
        ahead: int,
        batch_size: int,
        workers: int,
        alone: Sequence[str] | None = None,
    ) -> Iterator[Clip]:
        """Yield one answered clip per source, reading no more than ``ahead`` clips ahead."""
        alone = asked.alone if alone is None else alone
        batch: list[Clip] = []
        clips = prepared(sources, self._preparation(asked), workers=workers)
        texts = repeat(None) if texts is None else texts
        held = 0.0
        for clip, text in zip(clips, texts, strict=not isinstance(texts, repeat)):
            batch.append(self._with_text(clip, text))
            held += clip.seconds
            if len(batch) == ahead or held > AHEAD_SECONDS:
                self._scorer.score(batch, batch_size=batch_size, alone=alone)
                yield from batch
                batch, held = [], 0.0
        self._scorer.score(batch, batch_size=batch_size, alone=alone)
        yield from batch

    def _with_text(self, clip: Clip, text: str | None) -> Clip:
        if text is not None and not isinstance(text, str):
            raise ValueError(f"a text must be a string or None, not {type(text).__name__}")
        if text is None or clip.error is not None or not self.model.config.use_text:
            return clip
        clip.give_text(text)
        return clip

    def preprocess(self, input_: Any, *, text: str | None = None, clean: bool = True) -> Clip:
        """Load and clean one clip; what is wrong with it is kept, not raised."""
        return self._with_text(self._preparation(Options(clean=clean))(input_), text)

    def _forward(self, model_inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        heard = {"input_values", "input_features"} & set(model_inputs)
        for name in heard:
            model_inputs[name] = model_inputs[name].to(self.model.dtype)
        logits = self.model(**model_inputs).logits.float()
        return logits - logits.new_tensor(self._shift()) if heard else logits

    def postprocess(self, clip: Clip, *, asked: Options, labels: Labels) -> Any:
        """Turn the logits ``(num_labels,)`` of a clip into the row that is asked for."""
        temperature = self.model.config.temperature
        return clip_row(clip, asked=asked, labels=labels, temperature=temperature)

    def _windows(
        self, source: Any, text: str | None, asked: Options, batch_size: int, workers: int
    ) -> list[Window]:
        """Answer the windows of a recording, holding the audio of only one batch of them."""
        seconds = length_of(source)
        workers = workers if seconds and seconds >= LONG_RECORDING_S else 0
        data = RecordingWindows(source, asked.timeline, self._preparation(asked))
        windows: list[Window] = []
        waiting: list[Clip] = []
        with tqdm(total=seconds, unit="s", unit_scale=True, leave=False, disable=None) as bar:
            for window in unbatched(data, workers):
                if isinstance(window, str):
                    raise AudioError(window)
                bar.update(window.end - (windows[-1].end if windows else 0))
                windows.append(window)
                if window.clip is not None:
                    window.clip = self._with_text(window.clip, text)
                    waiting.append(window.clip)
                if len(waiting) == batch_size:
                    self._score_windows(waiting, asked, batch_size)
                    waiting = []
            self._score_windows(waiting, asked, batch_size)
        return windows

    def _score_windows(self, clips: list[Clip], asked: Options, batch_size: int) -> None:
        self._scorer.score(clips, batch_size=batch_size, alone=asked.alone)
        for clip in clips:
            clip.forget_audio()
        return_freed_memory()

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write a folder that works alone: weights, code, tokenizer, feature extractor, card."""
        os.makedirs(save_directory, exist_ok=True)
        custom_object_save(self, save_directory)
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        self.processor.feature_extractor.save_pretrained(save_directory)
        write_model_card(self.model.config, save_directory)


def _refuse_texts(text: Any, inputs: Any) -> None:
    """Texts of several clips must be as many as the clips."""
    if isinstance(text, str) or (text is not None and not hasattr(text, "__iter__")):
        raise ValueError("text of several clips must be a list, one entry a clip")
    if hasattr(text, "__len__") and hasattr(inputs, "__len__") and len(text) != len(inputs):
        raise ValueError(f"{len(text)} texts for {len(inputs)} clips")
