"""Distil a large speech encoder into a small HuBERT, without labels.

    python -m recipes.mini.distill --config recipes/mini/distill.yaml --output-dir runs/student

The student predicts the hidden states of several teacher layers, each through a linear head of
its own, by L1 distance and cosine similarity (DistilHuBERT, arXiv 2110.01900). A head reads the
student's last layer, or the one that ``student_layers`` names, so that the first layers of the
student can follow the first layers of the teacher. The heads are not saved; the folder written is
a stock ``HubertModel``.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hub_model.audio import SAMPLING_RATE, AudioError
from recipes.mini.filterbank import check_filterbank, start_as_filterbank
from recipes.mini.frame_batches import sample_batch, speech_sample
from recipes.mini.speech import MAX_SECONDS, collect_speech, training_rows
from recipes.mini.teacher import FRAME, FrameCache, WhisperTeacher
from speech_emotion.training.augment import student_changes
from speech_emotion.training.build import check_keys
from speech_emotion.training.config import FitConfig
from speech_emotion.training.fit import Figures, History, Task, fit, start
from speech_emotion.training.parsing import ConfigError, option, parse_config
from speech_emotion.training.provenance import read_stages, stage_record, write_stage
from speech_emotion.training.saving import (
    TrainingFailed,
    one_line,
    open_state,
    replaced_folder,
    state_folder,
)


@dataclass(kw_only=True)
class DistillConfig(FitConfig):
    """Settings of a distillation."""

    data: str = option(
        "",
        "corpus, a folder or the id of a data set on the Hub: its training clips are used, without "
        "their labels; not needed when there is other speech",
    )
    output_dir: str = option("", "folder of the student; the state for --resume lies beside it")
    teacher: str = option("openai/whisper-tiny.en", "Hub id or folder of a Whisper model")
    layers: list[int] = option(
        [1, 2, 3, 4], "teacher layers to predict; 1 is the first, 0 is the input of the first"
    )
    student_layers: list[int] = option(
        [],
        "for each of them, the layer of the student that predicts it; 0 is the output of its "
        "convolutions, with positions; the last layer when not given",
    )
    student: dict[str, Any] = option({}, "arguments of HubertConfig")
    filterbank: bool = option(
        False, "initialise the first convolutions as mel-spaced bands instead of noise"
    )
    init_from: str | None = option(
        None,
        "folder of a student to continue with; student then names what changes, such as more "
        "layers, which start with random weights; filterbank is not used",
    )
    protocol: Literal["speaker_disjoint", "paper", "natural"] = option(
        "speaker_disjoint", "configuration of the corpus"
    )
    fold: int | None = option(None, "do not use the clips of this fold; needs protocol natural")
    fold_corpus: str | None = option(None, "corpus whose folds are meant")
    corpora: list[str] = option([], "use these corpora only; all when not given")
    validation: Literal["split", "none"] = option(
        "split", "none: use the clips of the validation split as well"
    )
    folders: list[str] = option([], "folders with more speech; every audio file in them is used")
    synthetic_clips: int = option(
        0, "number of clips that espeak-ng adds, with varied voices, rates and pitches"
    )
    synthetic_texts: list[str] = option(
        [], "what espeak-ng reads: text files, or GoEmotions (a folder or Hub id)"
    )
    speeds: list[float] = option([1.0], "use every clip at each of these speeds")
    silence_s: float = option(
        0.0, "seconds of silence, at most, before and after a clip at each speed"
    )
    distort: float = option(
        0.0, "probability that the student's input has noise or an equaliser; the teacher's has not"
    )
    poor_recordings: float = option(
        0.0, "probability that the student's input is degraded; the teacher's is not"
    )
    cosine_weight: float = option(1.0, "weight of the cosine term beside the L1 term")
    max_steps: int = option(1000, "optimiser steps of the run")
    schedule_steps: int = option(
        0, "steps in which the learning rate falls to zero; max_steps when 0"
    )
    save_steps: int = option(250, "steps between two saved states")
    per_device_train_batch_size: int = option(16, "clips of similar length in a batch")
    seconds: float = option(3.0, "speech is cut into segments of at most so many seconds, up to 30")
    learning_rate: float = option(5e-4, "highest learning rate")
    warmup_steps: int = option(100, "steps in which the learning rate rises from zero")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fold is not None and self.protocol != "natural":
            raise ConfigError("fold needs protocol natural")
        self.check_minimum(1, "max_steps", "save_steps")
        self.check_minimum(0, "schedule_steps", "synthetic_clips", "silence_s")
        self.check_share("distort", "poor_recordings")
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds must be positive and at most {MAX_SECONDS}")
        if not self.layers or min(self.layers) < 0:
            raise ConfigError("layers must name teacher layers from 0 on")
        if self.student_layers and len(self.student_layers) != len(self.layers):
            raise ConfigError("student_layers must name one layer for each of layers")
        if not self.speeds or min(self.speeds) <= 0:
            raise ConfigError("speeds must be positive numbers")


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
            encoder = HubertModel.from_pretrained(
                config.init_from, dtype=torch.float32, **config.student
            )
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
    """Return the training record of a student; speakers are those of the corpus."""
    rows = training_rows(config) if config.data else {"corpus": [], "speaker_id": []}
    sources, speakers = sorted(set(rows["corpus"])), sorted(set(rows["speaker_id"]))
    sources += [Path(name).name for name in config.folders]
    if config.synthetic_clips:
        sources.append("espeak-ng")
    sources.append(Path(config.teacher).name if Path(config.teacher).is_dir() else config.teacher)
    record = stage_record("distillation", sources, config, speakers=speakers, **history[-1])
    if config.init_from:
        record["before"] = read_stages(config.init_from)
    return record


class Steps:
    """The batches of some steps; each step draws from a generator of its own.

    A resumed run therefore trains on the batches of an uninterrupted one.

    Args:
        draw: returns the batch that a generator picks.
        seed: of the run, with the number of the process.
        first: number of the first step, from 0.
        end: number after the last step.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator], Any],
        seed: tuple[int, int],
        first: int,
        end: int,
    ) -> None:
        self.draw, self.seed, self.steps = draw, seed, range(first, end)

    def __iter__(self) -> Iterator[Any]:
        seed, process = self.seed
        for step in self.steps:
            yield self.draw(np.random.default_rng([seed, step, process]))


class DistillTask(Task):
    """The student, its batches of waveforms and teacher frames, and the loss between them.

    Args:
        config: settings of the run.
        student: the network.
        draw: returns the batch that a generator picks.
        extractor: is saved with the student.
    """

    unit = "step"
    config: DistillConfig

    def __init__(
        self,
        config: DistillConfig,
        student: Student,
        draw: Callable[[np.random.Generator], Any],
        extractor: Wav2Vec2FeatureExtractor,
    ) -> None:
        optimizer = torch.optim.AdamW(
            student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        super().__init__(config, student, optimizer, train=None)
        self.draw, self.extractor = draw, extractor
        self.first_frame = _first_frame(student.encoder)

    def total_steps(self) -> int:
        """Return the steps of the run."""
        return self.config.max_steps

    def schedule_steps(self) -> int:
        """Return the steps in which the learning rate falls to zero."""
        return self.config.schedule_steps or self.config.max_steps

    def steps_done(self, history: History) -> int:
        """Return the steps up to the last saved state."""
        return history[-1]["step"] if history else 0

    def next_batches(self, history: History) -> Iterable[Any] | None:
        """Return the batches up to the next saved state."""
        first, every = self.steps_done(history), self.config.save_steps
        if first >= self.config.max_steps:
            return None
        end = min(self.config.max_steps, (first // every + 1) * every)
        return Steps(self.draw, (self.config.seed, PartialState().process_index), first, end)

    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the distance between predicted and true teacher frames."""
        waveforms, target = (part.to(accelerator.device) for part in batch)
        predicted = self.model(waveforms).float()
        target = target.float()[:, self.first_frame :]
        frames = min(target.shape[1], predicted.shape[1])
        return distillation_loss(
            predicted[:, :frames], target[:, :frames], self.config.cosine_weight
        )

    def summarize(
        self, losses: list[torch.Tensor], history: History, accelerator: Accelerator
    ) -> Figures:
        """Return the step, and the loss smoothed over the steps of the whole run."""
        smoothed = history[-1]["loss"] if history else math.nan
        for loss in losses:
            value = loss.item()
            smoothed = value if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * value
        return {"step": self.steps_done(history) + len(losses), "loss": smoothed}

    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the encoder of the student."""
        if accelerator.is_main_process:
            student: Any = accelerator.unwrap_model(self.model)
            with replaced_folder(Path(self.config.output_dir)) as folder:
                student.encoder.save_pretrained(folder)
                self.extractor.save_pretrained(folder)
                write_stage(folder, distillation_record(self.config, history))


def distill(config: DistillConfig) -> History:
    """Train the student; return the smoothed loss at every saved state.

    Raises:
        ConfigError: no speech, no teacher, or a student that cannot be built.
        TrainingFailed: the loss is not a number, or the disk is full.
    """
    accelerator = start(config)
    teacher = WhisperTeacher(config.teacher, config.layers)
    student = build_student(config, teacher)
    shortest = _shortest(student.encoder)
    changeable = ("data", "output_dir", "resume", "max_steps", "save_steps", "report_to")
    settings = {key: value for key, value in config.to_dict().items() if key not in changeable}
    open_state(accelerator, config.output_dir, settings, resume=config.resume)
    frames = state_folder(config.output_dir) / "frames"
    with accelerator.main_process_first():
        cache = FrameCache.build(collect_speech(config), teacher, frames)
    clips = cache.at_least(shortest)
    if clips.size == 0:
        raise ConfigError(f"no clip is as long as {shortest * FRAME / SAMPLING_RATE} s")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE)
    if config.filterbank and not config.init_from:
        speech = speech_sample(cache, clips, extractor)
        start_as_filterbank(student.encoder.feature_extractor.conv_layers, speech)
    distort = student_changes(config)

    def draw(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return sample_batch(cache, clips, config, extractor, generator, distort)

    return fit(accelerator, DistillTask(config, student, draw, extractor))


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    program = "recipes.mini.distill"
    try:
        config = parse_config(
            DistillConfig,
            arguments,
            program=program,
            description=__doc__ or "",
            needed=("output_dir",),
        )
        history = distill(config)
    except (ConfigError, TrainingFailed, AudioError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; --resume goes on from the last saved state", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        print("step {step}: loss {loss:.4f}, student in".format(**history[-1]), config.output_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
