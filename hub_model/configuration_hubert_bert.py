"""Configuration of the speech-and-text emotion model (paper, section III-D.2)."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .audio import MIN_SECONDS, SAMPLING_RATE, Cleaning
from .labels import EMOTIONS
from .tasks import check_tasks

PIPELINE_TASK = "audio-classification"

POOLINGS = ("mean", "mean_std")

MISSING_TEXTS = ("zero", "learned")

FRAME = 320
"""Samples a frame of a speech encoder: 50 frames a second."""


class HubertBertConfig(PreTrainedConfig):
    """Configuration of :class:`~hub_model.modeling_hubert_bert.HubertBertForEmotion`.

    Args:
        audio_config: config (or dict with ``model_type``) of the speech encoder: HuBERT, wav2vec
            2.0, WavLM, data2vec-audio, or the encoder of Whisper; HuBERT base when not given.
        text_config: config of the text encoder, any that ``AutoModel`` knows; BERT base when not
            given.
        use_text: ``False`` for an audio-only model (the paper's "HuBERT standalone"), which has no
            text encoder.
        missing_text: text vector of a clip without a transcript: ``zero``, or a parameter that is
            ``learned`` in training and starts at zero.
        audio_pooling: ``mean`` over the real frames (the paper), or ``mean_std``, which appends
            their standard deviation.
        use_weighted_layer_sum: pool a learnt average of the speech encoder's embeddings and all
            its layers instead of its last layer, as SUPERB does (arXiv 2105.01051).
        concatenate_layers: pool the embeddings and every layer separately, and concatenate the
            pooled vectors.
        standardize_features: subtract a mean from the pooled vectors and divide them by a deviation
            before dropout and classifier; both are saved with the weights.
        audio_dropout: dropout on the pooled speech vector.
        text_dropout: dropout on the pooled text vector.
        text_modality_dropout: share of training clips whose transcript is dropped, so that the
            model also learns to classify from audio only.
        audio_modality_dropout: share of training clips (of those whose transcript is kept) whose
            audio is dropped.
        cleaning: settings of :class:`~hub_model.audio.Cleaning` with which the pipeline cleans:
            those of the corpus, unless they were given. Training clips have those of the corpus.
        window_s: longest chunk in seconds that the encoder gets; the pipeline cuts longer clips
            into equal chunks and averages their logits.
        temperature: the pipeline divides logits by it before they become probabilities; fitted on
            the validation split in training.
        class_mean_logits: mean audio-only logits of labelled clips, a row for each true emotion;
            set by ``calibrate`` and needed by ``adapt``.
        logit_bias: added by the pipeline to the logits of a clip with audio, one number a label;
            fitted by ``adapt`` to the recordings of one source.
        text_only_classifier: whether text without audio has a linear layer of its own. Training
            fits one where ``text_pairs`` has comments.
        transcriber: speech transcriber that the pipeline uses by default: a transformers id or
            folder, ``"openai-whisper:<name or file>"``, or ``"none"``.
        tasks: further heads by name: ``{"labels": [...]}``, or ``{"mean", "std"}`` of a number; see
            :mod:`~hub_model.tasks`.
        training: the training record: corpora, protocol, speakers, data fingerprint, seed, commit,
            versions.
        custom_pipelines: the pipeline class, for ``transformers.pipeline``.

    The labels (``id2label``) default to :data:`EMOTIONS`. Other labels, or another ``num_labels``,
    reset what was fitted to the old ones.

    Raises:
        ValueError: a rate outside 0 to 1, an unknown pooling or cleaning setting, a task without
            labels or figures, a window of under 0.1 s or longer than the encoder can read.
    """

    model_type = "hubert_bert"
    # What else is in the output is no prediction of the emotion.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "audio_embedding",
        "text_embedding",
        "task_outputs",
    ]
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "audio_config": SubConfigSpec(config_class=AutoConfig, model_type="hubert"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True),
    }

    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    use_text: bool = True
    missing_text: str = "zero"
    audio_pooling: str = "mean"
    use_weighted_layer_sum: bool = False
    concatenate_layers: bool = False
    standardize_features: bool = False
    audio_dropout: float | int = 0.1
    text_dropout: float | int = 0.1
    text_modality_dropout: float | int = 0.3
    audio_modality_dropout: float | int = 0.0
    cleaning: dict[str, Any] | None = None
    window_s: float | int = 15.0
    temperature: float | int = 1.0
    class_mean_logits: list[list[float]] | None = None
    logit_bias: list[float] | None = None
    text_only_classifier: bool = False
    transcriber: str = "openai/whisper-base.en"
    tasks: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    custom_pipelines: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        # Names of the first release, in configs that were saved by it.
        self.class_mean_logits = kwargs.pop("emotion_logits", self.class_mean_logits)
        if (shift := kwargs.pop("logit_shift", None)) is not None:
            self.logit_bias = [-value for value in shift]
        wanted = kwargs.get("num_labels")
        if self.id2label is None and wanted in (None, len(EMOTIONS)):
            self.id2label = dict(enumerate(EMOTIONS))
        if self.id2label is not None and wanted not in (None, len(self.id2label)):
            self.id2label = None
            self.forget_fit()
        if self.id2label is not None:
            self.label2id = {label: int(index) for index, label in self.id2label.items()}
        if not self.use_text:
            self.text_config, self.text_only_classifier = None, False
        elif self.text_config is None:
            self.text_config = {"model_type": "bert"}
        super().__post_init__(**kwargs)
        for name in (
            "audio_dropout",
            "text_dropout",
            "text_modality_dropout",
            "audio_modality_dropout",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        if self.audio_pooling not in POOLINGS:
            raise ValueError(
                f"audio_pooling must be {' or '.join(POOLINGS)}, not {self.audio_pooling!r}"
            )
        if self.missing_text not in MISSING_TEXTS:
            raise ValueError(
                f"missing_text must be {' or '.join(MISSING_TEXTS)}, not {self.missing_text!r}"
            )
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        labels = self.num_labels
        if self.logit_bias is not None and len(self.logit_bias) != labels:
            raise ValueError(f"logit_bias must have {labels} numbers, one a label")
        if (
            self.class_mean_logits is not None
            and [len(row) for row in self.class_mean_logits] != [labels] * labels
        ):
            raise ValueError(f"class_mean_logits must have {labels} rows of {labels} numbers")
        if self.window_s < MIN_SECONDS:
            raise ValueError(f"window_s must be at least {MIN_SECONDS}, not {self.window_s}")
        if self.use_weighted_layer_sum and self.concatenate_layers:
            raise ValueError("use_weighted_layer_sum and concatenate_layers exclude each other")
        if self.use_weighted_layer_sum or self.concatenate_layers:
            # Every layer is used, so none may be skipped in training.
            name = "encoder_layerdrop" if is_whisper(self.audio_config) else "layerdrop"
            setattr(self.audio_config, name, 0.0)
        if is_whisper(self.audio_config):
            longest = self.audio_config.max_source_positions * FRAME / SAMPLING_RATE
            if self.window_s > longest:
                raise ValueError(
                    f"window_s must be at most {longest:g}, not {self.window_s}: the Whisper "
                    "encoder has no more positions"
                )
        self.tasks = check_tasks(self.tasks)
        self.cleaning = Cleaning.from_dict(self.cleaning).to_dict()
        if self.custom_pipelines is None:
            self.custom_pipelines = {
                PIPELINE_TASK: {
                    "impl": "pipeline_hubert_bert.SpeechTextEmotionPipeline",
                    "pt": ["AutoModelForAudioClassification"],
                }
            }

    def __setattr__(self, name: str, value: Any) -> None:
        known = getattr(self, "id2label", None) if name == "id2label" else None
        super().__setattr__(name, value)
        if known and value and len(known) != len(self.id2label):
            self.forget_fit()

    def forget_fit(self) -> None:
        """Reset what was fitted to other labels or another classifier."""
        self.temperature, self.class_mean_logits = 1.0, None
        self.logit_bias, self.text_only_classifier = None, False

    @property
    def audio_embedding_size(self) -> int:
        """Length of the pooled speech vector."""
        layers = self.audio_config.num_hidden_layers + 1 if self.concatenate_layers else 1
        moments = 2 if self.audio_pooling == "mean_std" else 1
        return self.audio_config.hidden_size * layers * moments

    @property
    def text_embedding_size(self) -> int:
        """Length of the pooled text vector; 0 for an audio-only model."""
        return self.text_config.hidden_size if self.use_text else 0


def is_whisper(config: PreTrainedConfig) -> bool:
    """Whether a speech encoder is that of Whisper, whose input is a spectrogram."""
    return config.model_type == "whisper"


HubertBertConfig.register_for_auto_class()
