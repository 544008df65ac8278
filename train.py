"""Fine-tune the speech-and-text emotion model with Accelerate (paper, section III-D, Table 7).

    python train.py --config configs/mini.yaml --data corpus/ --out runs/mini
    python train.py --config configs/mini.yaml --data corpus/ --out runs/folds --folds all

The checkpoint with the best UA + WA on the validation split is written to ``--out``, a folder
that ``transformers.pipeline`` loads. The state for ``--resume`` is kept in ``<out>.state``. All
options are told in docs/training.md.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import (
    Accelerator,
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    PartialState,
)
from accelerate.utils import set_seed
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from hub_model.audio import AudioError
from hub_model.calibration import fit_temperature
from hub_model.labels import EMOTIONS
from speech_emotion.baselines.settings import family_of
from speech_emotion.metrics import ua, wa
from speech_emotion.training.augment import training_changes
from speech_emotion.training.batching import length_batches
from speech_emotion.training.build import (
    build_model,
    freeze,
    frozen_parts,
    get_accelerator,
    set_training,
)
from speech_emotion.training.checkpoints import save_checkpoint
from speech_emotion.training.config import ConfigError, TrainConfig, parse_settings
from speech_emotion.training.data import Clips, collator, load_splits
from speech_emotion.training.frozen import Head, collate_pooled, make_head
from speech_emotion.training.losses import EmotionLoss, training_targets
from speech_emotion.training.provenance import refuse_heard_speakers, training_record
from speech_emotion.training.pushing import push_folder
from speech_emotion.training.saving import (
    TrainingFailed,
    check_out,
    clear_states,
    load_state,
    prepare_state,
    save_state,
)
from speech_emotion.training.text_sampler import TextSampler


def get_dataloaders(
    config: TrainConfig,
    parts: dict[str, Dataset],
    processor: Any,
    head: Head | None,
    processes: int,
) -> dict[str, DataLoader]:
    """Return loaders of shuffled training batches and, if there are any, of validation batches."""
    if head is not None:
        clips, collate = head.clips, collate_pooled
    else:
        collate = collator(processor)
        clips = {name: Clips(part) for name, part in parts.items()}
        clips["train"] = Clips(
            parts["train"],
            max_seconds=config.max_seconds,
            augment=training_changes(config),
            text_sampler=TextSampler.from_settings(config.text_pairs)
            if config.text_pairs
            else None,
            targets=training_targets(config, parts["train"]),
        )
    if config.batch_seconds and head is None:
        batches = length_batches(config, parts["train"], processes=processes)
        loaders = {"train": DataLoader(clips["train"], batch_sampler=batches, collate_fn=collate)}
    else:
        loaders = {
            "train": DataLoader(
                clips["train"], batch_size=config.batch_size, shuffle=True, collate_fn=collate
            )
        }
    if "validation" in clips:
        loaders["validation"] = DataLoader(
            clips["validation"], batch_size=config.eval_batch_size, collate_fn=collate
        )
    return loaders


@torch.no_grad()
def evaluate(
    model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator
) -> dict[str, float]:
    """Return loss, WA, UA and the best temperature on the validation split, every clip whole."""
    model.eval()
    labels, logits = [], []
    for batch in loader:
        batch_labels = batch.pop("labels")
        gathered = accelerator.gather_for_metrics((batch_labels, model(**batch).logits.float()))
        labels.append(gathered[0].cpu())
        logits.append(gathered[1].cpu())
    labels, logits = torch.cat(labels), torch.cat(logits)
    truth, predicted = labels.numpy(), logits.argmax(-1).numpy()
    return {
        "validation_loss": float(torch.nn.functional.cross_entropy(logits, labels)),
        "wa": wa(truth, predicted),
        "ua": ua(truth, predicted),
        "temperature": fit_temperature(truth, logits.numpy()),
    }


def train_epoch(
    model: torch.nn.Module,
    loader: DataLoader,
    loss_function: EmotionLoss,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    accelerator: Accelerator,
    config: TrainConfig,
    progress: tqdm,
) -> float:
    """Go through the training split once and return the mean loss of its batches.

    Raises:
        TrainingFailed: the loss is no longer a number.
    """
    losses = []
    for step, batch in enumerate(loader, start=1):
        with accelerator.accumulate(model):
            labels = batch.pop("labels")
            loss = loss_function(model(**batch).logits, labels)
            if not torch.isfinite(loss):
                raise TrainingFailed(f"the loss is {loss.item()} in step {step}")
            accelerator.backward(loss)
            if accelerator.sync_gradients and config.max_grad_norm:
                accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            # With fp16 a step whose gradients overflow is skipped; it is no step of the schedule.
            if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
                scheduler.step()
            optimizer.zero_grad()
        losses.append(loss.detach())
        progress.update()
    return accelerator.gather(torch.stack(losses)).mean().item()


def training_function(config: TrainConfig) -> list[dict[str, Any]]:
    """Train, and return the history: one dict of figures an epoch.

    Raises:
        ConfigError: the config, the corpus and the model do not fit together.
        TrainingFailed: the loss is no longer a number, or the disk is full.
        AudioError: a clip of the corpus cannot be decoded.
    """
    out, state = Path(config.out), Path(f"{Path(config.out)}.state")
    check_out(out)
    accelerator = get_accelerator(
        config.mixed_precision,
        gradient_accumulation_steps=config.accumulation,
        # The order of an epoch follows from seed and epoch alone, so a resumed run finds it.
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
        # Layer drop, missing transcripts and the like leave weights without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=str(state),
    )
    set_seed(config.seed)
    with accelerator.main_process_first():
        parts = load_splits(config, EMOTIONS)
    tested = parts.pop("test", None)
    model, processor = build_model(config, parts["train"])
    frozen = frozen_parts(config, model)
    freeze(model, frozen, top_convolutions=2 if config.unfreeze == "top2_conv" else 0)
    model.config.training = record = training_record(config, parts, model)
    refuse_heard_speakers(record, tested)
    if accelerator.is_main_process:
        prepare_state(config, record)
    accelerator.wait_for_everyone()
    head = make_head(config, model, processor, parts, accelerator)
    loaders = get_dataloaders(config, parts, processor, head, accelerator.num_processes)
    loss_function = EmotionLoss(config, parts["train"])

    trained = model if head is None else head.model
    optimizer = torch.optim.AdamW(
        [weight for weight in trained.parameters() if weight.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    trained, optimizer, *prepared = accelerator.prepare(trained, optimizer, *loaders.values())
    loaders = dict(zip(loaders, prepared, strict=True))
    steps = len(loaders["train"])
    # Not prepared: a prepared scheduler would count one step a process.
    scheduler = get_linear_schedule_with_warmup(
        optimizer, config.warmup_steps, -(-steps // config.accumulation) * config.epochs
    )
    accelerator.register_for_checkpointing(scheduler)
    accelerator.init_trackers("logs")

    # All processes start from the same weights, and then draw cuts and dropouts of their own.
    set_seed(config.seed, device_specific=True)
    history = load_state(accelerator, state) if config.resume else []
    with tqdm(
        total=config.epochs * steps,
        initial=len(history) * steps,
        disable=not accelerator.is_main_process,
    ) as progress:
        for epoch in range(len(history), config.epochs):
            if _has_stalled(history, config.patience):
                break
            loaders["train"].set_epoch(epoch)
            set_training(accelerator.unwrap_model(trained), [] if head else frozen)
            try:
                loss = train_epoch(
                    trained,
                    loaders["train"],
                    loss_function,
                    optimizer,
                    scheduler,
                    accelerator,
                    config,
                    progress,
                )
                figures = {"epoch": epoch + 1, "train_loss": loss}
                if "validation" in loaders:
                    figures |= evaluate(trained, loaders["validation"], accelerator)
                    if not math.isfinite(figures["validation_loss"]):
                        raise TrainingFailed("the validation loss is not a number")
                history.append(figures)
                if kept(history) is figures:
                    weights = head.weights() if head else accelerator.get_state_dict(trained)
                    if accelerator.is_main_process:
                        temperature = config.temperature or figures.get("temperature", 1.0)
                        save_checkpoint(weights, model.config, processor, config, temperature)
                save_state(accelerator, state / f"epoch_{epoch + 1}", history)
            except TrainingFailed as error:
                saved = epoch > 0
                where = f"the last good checkpoint is {out}" if saved else "no checkpoint is saved"
                raise TrainingFailed(f"epoch {epoch + 1}: {error}; {where}") from error
            accelerator.log({**figures, "learning_rate": scheduler.get_last_lr()[0]}, epoch + 1)
            if accelerator.is_main_process:
                clear_states(state, keep=2)
                rounded = {key: round(value, 4) for key, value in figures.items()}
                progress.write(json.dumps(rounded))
    accelerator.end_training()
    if config.push_to_hub and accelerator.is_main_process:
        push_folder(out, config.push_to_hub, private=config.private)
    return history


def kept(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the epoch whose weights are saved: the best, or the last without validation."""
    if "ua" not in history[-1]:
        return history[-1]
    return max(history, key=lambda figures: figures["ua"] + figures["wa"])


def _has_stalled(history: list[dict[str, Any]], patience: int) -> bool:
    return bool(patience and history) and len(history) - kept(history)["epoch"] >= patience


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    if family_of(arguments):  # a row of Table 6 or 8 other than ours
        from speech_emotion.training.baselines import main as train_row

        return train_row(arguments)
    try:
        config = parse_settings(TrainConfig, "train.py", __doc__, arguments)
        if config.folds:
            from speech_emotion.evaluation.cross_validation import cross_validate

            said = cross_validate(config, training_function, arguments)
        else:
            best = kept(training_function(config))
            figures = [f"{name.upper()} {best[name]:.3f}" for name in ("wa", "ua") if name in best]
            said = f"best epoch {best['epoch']}: validation {', '.join(figures)}"
            if not figures:
                said = f"epoch {best['epoch']}, the last, is kept: there is no validation"
    except (ConfigError, TrainingFailed, AudioError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train.py: stopped; --resume goes on after the last whole epoch", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
