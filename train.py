"""Fine-tune the speech-and-text emotion model with Accelerate (paper, section III-D, Table 7).

    python train.py --config configs/mini.yaml --data corpus/ --out checkpoints/mini

The checkpoint with the best UA + WA on the validation split is written to ``--out``, a folder
that ``transformers.pipeline`` loads. The state for ``--resume`` is kept in ``<out>.state``.
"""

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, RandomSampler
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from hub_model.configuration_hubert_bert import EMOTIONS, PIPELINE_TASK
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from metrics import ua, wa
from training.build import build_model
from training.config import ConfigError, TrainConfig, parse_settings
from training.data import Clips, collator, load_splits
from training.provenance import training_record


class TrainingFailed(RuntimeError):
    """A run that cannot go on. The message is one line; the last good checkpoint is kept."""


def get_dataloaders(
    config: TrainConfig, splits: dict[str, Any], processor: Any
) -> tuple[DataLoader, DataLoader]:
    """Return loaders of training batches, in an order set by the seed, and of validation ones."""
    collate = collator(processor)
    clips = Clips(splits["train"], max_seconds=config.max_seconds)
    order = RandomSampler(clips, generator=torch.Generator().manual_seed(config.seed))
    train = DataLoader(clips, batch_size=config.batch_size, sampler=order, collate_fn=collate)
    clips = Clips(splits["validation"])
    return train, DataLoader(clips, batch_size=config.eval_batch_size, collate_fn=collate)


@torch.no_grad()
def evaluate(
    model: torch.nn.Module, loader: DataLoader, accelerator: Accelerator
) -> dict[str, float]:
    """Return loss, WA and UA on the validation split; nothing is dropped, clips are not cut."""
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
    }


def save_checkpoint(model: Any, processor: Any, config: TrainConfig) -> None:
    """Write the checkpoint folder beside its place, then move it there."""
    out, new, old = (Path(f"{config.out}{suffix}") for suffix in ("", ".new", ".old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    half = copy.deepcopy(model).to("cpu", getattr(torch, config.save_dtype))
    pipe = SpeechTextEmotionPipeline(
        model=half, processor=processor, task=PIPELINE_TASK, device="cpu", transcriber="none"
    )
    pipe.save_pretrained(new)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def training_function(config: TrainConfig) -> dict[str, Any]:
    """Train, and return the history: one dict of figures an epoch.

    Raises:
        ConfigError: the config, the corpus and the model do not fit together.
        TrainingFailed: the loss is no longer a number.
    """
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision, gradient_accumulation_steps=config.accumulation
    )
    set_seed(config.seed)
    with accelerator.main_process_first():
        splits = load_splits(config, EMOTIONS)
    model, processor = build_model(config, splits["train"])
    model.config.training = training_record(config, splits)
    train_loader, validation_loader = get_dataloaders(config, splits, processor)

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
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

    state = Path(f"{config.out}.state")
    history = _resume(accelerator, state) if config.resume else []
    progress = tqdm(
        total=config.epochs * len(train_loader),
        initial=len(history) * len(train_loader),
        disable=not accelerator.is_main_process,
    )
    for epoch in range(len(history), config.epochs):
        model.train()
        train_loader.set_epoch(epoch)
        total = 0.0
        for batch in train_loader:
            with accelerator.accumulate(model):
                loss = model(**batch).loss
                if not torch.isfinite(loss):
                    raise TrainingFailed(
                        f"the loss is {loss.item()} in epoch {epoch + 1}, step {progress.n}; "
                        f"the last good checkpoint is {config.out if history else 'none'}"
                    )
                accelerator.backward(loss)
                if accelerator.sync_gradients and config.max_grad_norm:
                    accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                if accelerator.sync_gradients:
                    scheduler.step()
                optimizer.zero_grad()
            total += loss.item()
            progress.update()
        figures = {"epoch": epoch + 1, "train_loss": total / len(train_loader)}
        figures |= evaluate(model, validation_loader, accelerator)
        best = max((row["ua"] + row["wa"] for row in history), default=-1.0)
        if accelerator.is_main_process and figures["ua"] + figures["wa"] > best:
            save_checkpoint(accelerator.unwrap_model(model), processor, config)
        history.append(figures)
        _save_state(accelerator, state, history)
        progress.write(json.dumps({key: round(value, 4) for key, value in figures.items()}))
    progress.close()
    return {"history": history, "best": max(history, key=lambda row: row["ua"] + row["wa"])}


def _save_state(accelerator: Accelerator, state: Path, history: list[dict]) -> None:
    """Keep the last two finished epochs; a state counts once its history is written."""
    folder = state / f"epoch_{len(history)}"
    accelerator.save_state(folder)
    if accelerator.is_main_process:
        (folder / "history.tmp").write_text(json.dumps(history))
        (folder / "history.tmp").rename(folder / "history.json")
        shutil.rmtree(state / f"epoch_{len(history) - 2}", ignore_errors=True)
    accelerator.wait_for_everyone()


def _resume(accelerator: Accelerator, state: Path) -> list[dict]:
    """Load the last finished epoch; an empty history when there is none."""
    finished = sorted(
        state.glob("epoch_*/history.json"), key=lambda path: int(path.parent.name.split("_")[1])
    )
    if not finished:
        return []
    accelerator.load_state(finished[-1].parent)
    return json.loads(finished[-1].read_text())


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 when trained, 2 with one line on standard error otherwise."""
    try:
        result = training_function(parse_settings(TrainConfig, "train.py", __doc__, arguments))
    except (ConfigError, TrainingFailed) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    best = result["best"]
    print(f"best epoch {best['epoch']}: validation WA {best['wa']:.3f}, UA {best['ua']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
