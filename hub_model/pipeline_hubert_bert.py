"""The pipeline behind ``pipeline("audio-classification", model=..., trust_remote_code=True)``."""

import os
from typing import Any

import numpy as np
import torch
from transformers import Pipeline

from .calls import AUDIO_ONLY, NO_TRANSCRIBER, EmotionCalls
from .scoring import ClipScorer
from .transcription import make_transcriber


class SpeechTextEmotionPipeline(EmotionCalls, Pipeline):
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
            ``speech_emotion.predict.diarisation.diarise``. The turns of a channel are its speech
            without pauses over 0.5 s. Segments, windows and words then have a ``speaker``,
            segments and windows ``overlap``: whether another speaker has a turn at that time; and
            ``speakers`` sums up each.
        clean: ``False`` when the audio has already been cleaned.
        check_speech: ``False`` to classify noise as well. Otherwise a clip of noise is an error,
            and a window without speech has the label ``"no speech"``.
        batch_size: most clips in a batch, of at most two minutes of audio together; 8 when not
            given. The result does not depend on it.
        num_workers: processes besides this one; 0 for none, ``"auto"`` for one a core where there
            are clips enough for them. Two or more predict whole batches, each on one core, for a
            model on a CPU and clips that need no transcriber; otherwise they decode and clean.

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

    def _logits(self, inputs: dict[str, torch.Tensor]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits ``(batch, num_labels)``, with their bias, and further heads: float32."""
        inputs = self._ensure_tensor_on_device(inputs, device=self.device)
        sound = {"input_values", "input_features"} & set(inputs)
        for name in sound:
            inputs[name] = inputs[name].to(self.model.dtype)
        output = self.model(**inputs)
        logits = output.logits.float().cpu().numpy()
        tasks = output.task_outputs or {}
        if sound:
            logits = logits + self._bias(self.model.config.logit_bias)
        return logits, {name: values.float().cpu().numpy() for name, values in tasks.items()}

    @property
    def _copies(self) -> bool:
        return self.device.type == "cpu"

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write a complete model folder: weights, code, tokenizer and feature extractor."""
        os.makedirs(save_directory, exist_ok=True)
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        self.processor.feature_extractor.save_pretrained(save_directory)
