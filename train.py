"""Fine-tune the speech-and-text emotion model with Accelerate (paper, section III-D, Table 7).

    python train.py --config configs/mini.yaml --data corpus/ --out runs/mini

The checkpoint with the best UA + WA on the validation split is written to ``--out``, a folder
that ``transformers.pipeline`` loads. The state for ``--resume`` is kept in ``<out>.state``.
"""

import copy
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
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from hub_model.audio import AudioError
from hub_model.configuration_hubert_bert import EMOTIONS, PIPELINE_TASK
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from metrics import fit_temperature, ua, wa
from training.augment import augmenter
from training.build import build_model, freeze, get_accelerator, set_training
from training.companions import Companions
from training.config import ConfigError, TrainConfig, parse_settings
from training.data import Clips, collator, load_splits
from training.provenance import training_record
from training.saving import (
    TrainingFailed,
    check_out,
    check_settings,
    clear_states,
    load_state,
    replaced_folder,
    restore_folder,
    save_state,
)


def get_dataloaders(
    config: TrainConfig, splits: dict[str, Any], processor: Any
) -> tuple[DataLoader, DataLoader]:
    """Return loaders of shuffled training batches and of validation batches."""
    collate = collator(processor)
    clips = Clips(
        splits["train"],
        max_seconds=config.max_seconds,
        augment=augmenter(config.augment) if config.augment else None,
        companions=Companions.from_settings(config.text_pairs) if config.text_pairs else None,
    )
    train = DataLoader(clips, batch_size=config.batch_size, shuffle=True, collate_fn=collate)
    clips = Clips(splits["validation"])
    return train, DataLoader(clips, batch_size=config.eval_batch_size, collate_fn=collate)


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


def save_checkpoint(model: Any, processor: Any, config: TrainConfig, temperature: float) -> None:
    """Write the checkpoint folder beside its place, then move it there."""
    copied = copy.deepcopy(model).to("cpu", getattr(torch, config.save_dtype))
    copied.config.name_or_path = ""  # else the card of the start, with its results, would stay
    copied.config.temperature = temperature
    pipe = SpeechTextEmotionPipeline(
        model=copied, processor=processor, task=PIPELINE_TASK, device="cpu", transcriber="none"
    )
    with replaced_folder(Path(config.out)) as folder:
        pipe.save_pretrained(folder)


def train_epoch(
    model: torch.nn.Module,
    loader: DataLoader,
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
    set_training(accelerator.unwrap_model(model), config.freeze)
    losses = []
    for step, batch in enumerate(loader, start=1):
        with accelerator.accumulate(model):
            loss = model(**batch).loss
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
    )
    set_seed(config.seed)
    with accelerator.main_process_first():
        splits = load_splits(config, EMOTIONS)
    model, processor = build_model(config, splits["train"])
    freeze(model, config.freeze)
    model.config.training = record = training_record(config, splits)
    if accelerator.is_main_process:
        restore_folder(out)
        settings = {**record["settings"], "model": config.model, "init_from": config.init_from}
        settings |= {key: record[key] for key in ("train_fingerprint", "validation_fingerprint")}
        del settings["epochs"]  # a finished run may be resumed for more
        check_settings(state, settings, resume=config.resume)
        if not config.resume:
            clear_states(state)
    accelerator.wait_for_everyone()
    train_loader, validation_loader = get_dataloaders(config, splits, processor)

    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    model, optimizer, train_loader, validation_loader = accelerator.prepare(
        model, optimizer, train_loader, validation_loader
    )
    steps_per_epoch = -(-len(train_loader) // config.accumulation)
    # Not prepared: a prepared scheduler would count one step a process.
    scheduler = get_linear_schedule_with_warmup(
        optimizer, config.warmup_steps, steps_per_epoch * config.epochs
    )
    accelerator.register_for_checkpointing(scheduler)

    # All processes start from the same weights, and then draw cuts and dropouts of their own.
    set_seed(config.seed, device_specific=True)
    history = load_state(accelerator, state) if config.resume else []
    with tqdm(
        total=config.epochs * len(train_loader),
        initial=len(history) * len(train_loader),
        disable=not accelerator.is_main_process,
    ) as progress:
        for epoch in range(len(history), config.epochs):
            train_loader.set_epoch(epoch)
            try:
                loss = train_epoch(
                    model, train_loader, optimizer, scheduler, accelerator, config, progress
                )
                figures = {"epoch": epoch + 1, "train_loss": loss}
                figures |= evaluate(model, validation_loader, accelerator)
                if not math.isfinite(figures["validation_loss"]):
                    raise TrainingFailed("the validation loss is not a number")
                if accelerator.is_main_process and _score(figures) > max(
                    map(_score, history), default=-1.0
                ):
                    save_checkpoint(
                        accelerator.unwrap_model(model), processor, config, figures["temperature"]
                    )
                history.append(figures)
                save_state(accelerator, state / f"epoch_{epoch + 1}", history)
            except TrainingFailed as error:
                kept = f"the last good checkpoint is {out}" if history else "no checkpoint is saved"
                raise TrainingFailed(f"epoch {epoch + 1}: {error}; {kept}") from error
            if accelerator.is_main_process:
                clear_states(state, keep=2)
                rounded = {key: round(value, 4) for key, value in figures.items()}
                progress.write(json.dumps(rounded))
    return history


def _score(figures: dict[str, Any]) -> float:
    return figures["ua"] + figures["wa"]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    try:
        config = parse_settings(TrainConfig, "train.py", __doc__, arguments)
        best = max(training_function(config), key=_score)
    except (ConfigError, TrainingFailed, AudioError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train.py: stopped; --resume goes on after the last whole epoch", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        print(f"best epoch {best['epoch']}: validation WA {best['wa']:.3f}, UA {best['ua']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
