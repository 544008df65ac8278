"""Teach a small HuBERT to hear what a larger speech encoder hears, without labels.

    python -m recipes.mini.distill --config recipes/mini/distill.yaml --data corpus/ --out runs/student

The student predicts the hidden states of several teacher layers, each through a linear head of
its own, by L1 distance and cosine similarity (DistilHuBERT, arXiv 2110.01900). A head reads the
student's last layer, or the one that ``student_layers`` names, so that the first layers of the
student can follow the first layers of the teacher. The heads are thrown away; the folder written
is a plain ``HubertModel``.
"""

import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import DistributedDataParallelKwargs, PartialState
from accelerate.utils import set_seed
from torch import nn
from tqdm.auto import tqdm
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    get_linear_schedule_with_warmup,
)

from hub_model.audio import SAMPLING_RATE, AudioError
from recipes.mini.filterbank import check_filterbank, start_as_filterbank
from recipes.mini.frame_batches import sample_batch, speech_sample
from recipes.mini.speech import MAX_SECONDS, collect_speech, training_rows
from recipes.mini.teacher import FRAME, FrameCache, WhisperTeacher
from speech_emotion.training.augment import student_changes
from speech_emotion.training.build import check_keys, get_accelerator
from speech_emotion.training.config import ConfigError, check_choices, parse_settings
from speech_emotion.training.provenance import read_stages, stage_record, write_stage
from speech_emotion.training.saving import (
    TrainingFailed,
    check_out,
    check_settings,
    clear_states,
    load_state,
    one_line,
    replaced_folder,
    restore_folder,
    save_state,
)


@dataclass(kw_only=True)
class DistillConfig:
    """Everything that decides a distillation run.

    Args:
        data: corpus folder; only the train split of ``protocol`` is heard, so that held-out
            speakers stay unheard. No labels are used. May be left out when there is other speech.
        out: folder of the student.
        teacher: Hub id or folder of a Whisper model.
        layers: teacher layers to predict, 1 is the first; 0 is what goes into the first.
        student_layers: for each of them, the layer of the student that predicts it; 0 is the
            output of its convolutions, with positions. The last layer when not given.
        student: arguments of ``HubertConfig``.
        filterbank: start the first convolutions as mel-spaced bands instead of noise, see
            :func:`~recipes.mini.filterbank.start_as_filterbank`.
        init_from: folder of a student to go on with; ``student`` and ``filterbank`` are not used.
        protocol, fold, fold_corpus, corpora, validation: which clips of the corpus are heard, see
            :class:`~speech_emotion.training.folds.Selection`; those of the test fold are not.
        folders: further folders with speech; every audio file in them is heard.
        synthetic_clips: how many clips espeak-ng adds, with varied voices, rates and pitches.
        synthetic_texts: text files that espeak-ng reads from.
        speeds: every clip is heard at each of these speeds.
        silence_s: at every speed, up to so many seconds of silence come before and after a clip.
        distort: chance that the student hears a clip through noise or an equaliser; the teacher
            never does.
        poor_recordings: chance that the student hears a poor recording of a clip, see
            :func:`~speech_emotion.training.augment.poor_recorder`; the teacher never does.
        cosine_weight: weight of the cosine term beside the L1 term.
        schedule_steps: steps over which the learning rate falls to zero; ``steps`` when not given.
        steps, batch_size, seconds: optimiser steps, of so many clips of about one length; speech is
            cut into pieces of at most so many seconds, 30 at most.
        learning_rate, weight_decay, warmup_steps, mixed_precision, seed: as in training.
        save_every: steps between two saved states.
        resume: go on from the last saved state.
    """

    data: str = ""
    out: str = ""
    teacher: str = "openai/whisper-tiny.en"
    layers: list[int] = field(default_factory=lambda: [1, 2, 3, 4])
    student_layers: list[int] = field(default_factory=list)
    student: dict[str, Any] = field(default_factory=dict)
    filterbank: bool = False
    init_from: str | None = None
    protocol: str = "speaker_disjoint"
    fold: int | None = None
    fold_corpus: str | None = None
    corpora: list[str] = field(default_factory=list)
    validation: str = "split"
    folders: list[str] = field(default_factory=list)
    synthetic_clips: int = 0
    synthetic_texts: list[str] = field(default_factory=list)
    speeds: list[float] = field(default_factory=lambda: [1.0])
    silence_s: float = 0.0
    distort: float = 0.0
    poor_recordings: float = 0.0
    cosine_weight: float = 1.0
    schedule_steps: int = 0
    steps: int = 1000
    batch_size: int = 16
    seconds: float = 3.0
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 100
    mixed_precision: str = "no"
    seed: int = 0
    save_every: int = 250
    resume: bool = False

    def __post_init__(self) -> None:
        check_choices(
            self,
            protocol=("speaker_disjoint", "paper", "natural"),
            validation=("split", "none"),
            mixed_precision=("no", "bf16", "fp16"),
        )
        if self.fold is not None and self.protocol != "natural":
            raise ConfigError("fold needs protocol natural")
        if min(self.steps, self.batch_size, self.save_every) < 1:
            raise ConfigError("steps, batch_size and save_every must be positive")
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds must be positive and at most {MAX_SECONDS}")
        if not self.layers or not all(isinstance(n, int) and n >= 0 for n in self.layers):
            raise ConfigError("layers must name teacher layers from 0 on")
        if self.student_layers and len(self.student_layers) != len(self.layers):
            raise ConfigError("student_layers must name one layer for each of layers")
        for name in ("distort", "poor_recordings"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        if not self.speeds or not all(isinstance(n, int | float) and n > 0 for n in self.speeds):
            raise ConfigError("speeds must be positive numbers")
        for name in (
            *("learning_rate", "weight_decay", "warmup_steps"),
            *("synthetic_clips", "silence_s", "seed"),
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative")


class Student(nn.Module):
    """A HuBERT with one linear head for each teacher layer.

    Args:
        encoder: the student.
        layers: for each teacher layer, the hidden state of the student that predicts it.
        teacher_size: hidden size of the teacher.
    """

    def __init__(self, encoder: HubertModel, layers: list[int], teacher_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = layers
        self.heads = nn.ModuleList(
            nn.Linear(encoder.config.hidden_size, teacher_size) for _ in layers
        )

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """``(batch, num_samples)`` to ``(batch, frames, layers, teacher size)``."""
        outputs = self.encoder(input_values, output_hidden_states=True)
        # With layer drop the middle ones may be fewer; the last is always there.
        states = {self.encoder.config.num_hidden_layers: outputs.last_hidden_state}
        states |= dict(enumerate(outputs.hidden_states[:-1]))
        predicted = [
            head(states[layer]) for head, layer in zip(self.heads, self.layers, strict=True)
        ]
        return torch.stack(predicted, dim=2)


def distillation_loss(
    predicted: torch.Tensor, target: torch.Tensor, cosine_weight: float
) -> torch.Tensor:
    """L1 distance plus the negative log-sigmoid of the cosine, averaged over frames and layers.

    Args:
        predicted, target: ``(batch, frames, layers, teacher size)``.
    """
    cosine = nn.functional.cosine_similarity(predicted, target, dim=-1)
    distance = (predicted - target).abs().mean()
    return distance - cosine_weight * nn.functional.logsigmoid(cosine).mean()


def build_student(config: DistillConfig, teacher: WhisperTeacher) -> Student:
    """Return a student with random weights.

    Raises:
        ConfigError: settings that HuBERT refuses, or cuts shorter than one mask.
    """
    check_keys("student", config.student, HubertConfig)
    try:
        if config.init_from:
            encoder = HubertModel.from_pretrained(config.init_from, dtype=torch.float32)
        else:
            encoder = HubertModel(HubertConfig(**config.student))
    except Exception as error:  # transformers raises many kinds for settings it refuses
        raise ConfigError(f"the student cannot be built: {one_line(error)}") from error
    if config.filterbank and not config.init_from:
        try:
            check_filterbank(encoder.feature_extractor.conv_layers)
        except ValueError as error:
            raise ConfigError(f"the student cannot be built: {error}") from error
    last = encoder.config.num_hidden_layers
    layers = config.student_layers or [last] * len(config.layers)
    if encoder.config.layerdrop and set(layers) != {last}:
        raise ConfigError("student_layers needs a student without layerdrop")
    if not all(0 <= layer <= last for layer in layers):
        raise ConfigError(f"student_layers must be 0 to {last}, the student has no more")
    shortest = _shortest(encoder)
    if config.seconds * SAMPLING_RATE < shortest * FRAME:
        raise ConfigError(f"seconds must be at least {shortest * FRAME / SAMPLING_RATE}")
    return Student(encoder, layers, teacher.hidden_size)


def _first_frame(encoder: HubertModel) -> int:
    """Number of the teacher's frame that lies nearest to the middle of the student's first.

    The teacher's frame k is centred on sample 320 k; the student's first one sees so many samples
    as its convolutions span.
    """
    seen, step = 1, 1
    for kernel, stride in zip(encoder.config.conv_kernel, encoder.config.conv_stride, strict=True):
        seen, step = seen + (kernel - 1) * step, step * stride
    if step != FRAME:
        raise ConfigError(f"the student makes a frame every {step} samples, the teacher {FRAME}")
    return round(seen / 2 / FRAME)


def _shortest(encoder: HubertModel) -> int:
    """Frames that a clip needs: the convolutions eat some, and a mask must fit into the rest."""
    return 1 + 2 * _first_frame(encoder) + encoder.config.mask_time_length


def distillation_record(config: DistillConfig, history: list[dict[str, float]]) -> dict[str, Any]:
    """Say what the student has heard; speakers are those of the corpus."""
    learnt_from, speakers = [], []
    if config.data:
        rows = training_rows(config)
        learnt_from, speakers = sorted(set(rows["corpus"])), sorted(set(rows["speaker_id"]))
    learnt_from += [Path(name).name for name in config.folders]
    if config.synthetic_clips:
        learnt_from.append("espeak-ng")
    learnt_from.append(
        Path(config.teacher).name if Path(config.teacher).is_dir() else config.teacher
    )
    record = stage_record("distillation", learnt_from, config, speakers=speakers, **history[-1])
    if config.init_from:
        record["before"] = read_stages(config.init_from)
    return record


def distill(config: DistillConfig) -> list[dict[str, float]]:
    """Train the student; return the smoothed loss at every saved state.

    Raises:
        ConfigError: no speech, no teacher, or a student that cannot be built.
        TrainingFailed: the loss is no longer a number, or the disk is full.
    """
    out, work = Path(config.out), Path(f"{Path(config.out)}.state")
    check_out(out)
    accelerator = get_accelerator(
        config.mixed_precision,
        # Layer drop leaves weights without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    set_seed(config.seed)
    teacher = WhisperTeacher(config.teacher, config.layers)
    model = build_student(config, teacher)
    shortest = _shortest(model.encoder)
    if accelerator.is_main_process:
        restore_folder(out)
        changeable = ("data", "out", "resume", "steps", "save_every")
        settings = {key: value for key, value in asdict(config).items() if key not in changeable}
        check_settings(work, settings, resume=config.resume)
        if not config.resume:
            clear_states(work)
    with accelerator.main_process_first():
        cache = FrameCache.build(collect_speech(config), teacher, work / "frames")
    clips = cache.at_least(shortest)
    distort = student_changes(config)
    first_frame = _first_frame(model.encoder)
    if clips.size == 0:
        raise ConfigError(f"no clip is as long as {shortest * FRAME / SAMPLING_RATE} s")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE)
    if config.filterbank and not config.init_from:
        speech = speech_sample(cache, clips, extractor)
        start_as_filterbank(model.encoder.feature_extractor.conv_layers, speech)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    # Not prepared: a prepared scheduler would count one step a process.
    scheduler = get_linear_schedule_with_warmup(
        optimizer, config.warmup_steps, config.schedule_steps or config.steps
    )
    accelerator.register_for_checkpointing(scheduler)

    # All processes start from the same weights, and then draw masks and dropouts of their own.
    set_seed(config.seed, device_specific=True)
    history = load_state(accelerator, work) if config.resume else []
    first, smoothed = (history[-1]["step"], history[-1]["loss"]) if history else (0, math.nan)
    model.train()
    progress = tqdm(
        range(first, config.steps),
        initial=first,
        total=config.steps,
        disable=not accelerator.is_main_process,
    )
    for step in progress:
        # Seeded by the step, so that a resumed run sees the batches of an uninterrupted one.
        generator = np.random.default_rng([config.seed, step, accelerator.process_index])
        waveforms, target = sample_batch(cache, clips, config, extractor, generator, distort)
        predicted = model(waveforms.to(accelerator.device)).float()
        target = target.to(accelerator.device).float()[:, first_frame:]
        frames = min(target.shape[1], predicted.shape[1])
        target, predicted = target[:, :frames], predicted[:, :frames]
        loss = distillation_loss(predicted, target, config.cosine_weight)
        if not torch.isfinite(loss):
            progress.close()
            raise TrainingFailed(
                f"the loss is {loss.item()} in step {step + 1}; the last state is that of step "
                f"{history[-1]['step'] if history else 0}"
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            scheduler.step()
        optimizer.zero_grad()
        value = loss.item()
        smoothed = value if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * value
        progress.set_postfix(loss=f"{smoothed:.4f}")
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            history.append({"step": step + 1, "loss": smoothed})
            save_state(accelerator, work / f"step_{step + 1}", history)
            if accelerator.is_main_process:
                clear_states(work, keep=1)
                with replaced_folder(out) as folder:
                    accelerator.unwrap_model(model).encoder.save_pretrained(folder)
                    extractor.save_pretrained(folder)
                    write_stage(folder, distillation_record(config, history))
    return history


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    try:
        config = parse_settings(
            DistillConfig, "recipes.mini.distill", __doc__, arguments, needed=("out",)
        )
        history = distill(config)
    except (ConfigError, TrainingFailed, AudioError) as error:
        print(f"recipes.mini.distill: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "recipes.mini.distill: stopped; --resume goes on from the last state", file=sys.stderr
        )
        return 130
    if PartialState().is_main_process:
        print(
            f"step {history[-1]['step']}: loss {history[-1]['loss']:.4f}, student in {config.out}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
