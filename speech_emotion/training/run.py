"""Train a model or a baseline on a corpus: the program behind ``train.py``.

The checkpoint with the best UA + WA on the validation split is written to ``--output_dir``, a
folder that ``transformers.pipeline`` loads. The state for ``--resume`` is kept beside it. The
options of a baseline are shown by ``--config configs/knn.yaml --help``.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from corpus_builder.hub import HubError, push_folder
from hub_model.audio import AudioError
from speech_emotion.baselines import BaselineError
from speech_emotion.predict.vector_cache import CacheError
from speech_emotion.training import baselines
from speech_emotion.training.baseline_config import CONFIGS, family_of
from speech_emotion.training.build import build_model, freeze, frozen_parts
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import load_splits
from speech_emotion.training.fit import History, fit, kept, start
from speech_emotion.training.frozen import make_head
from speech_emotion.training.held_out import held_out_temperature
from speech_emotion.training.model_card import with_address
from speech_emotion.training.multimodal import EmotionTask
from speech_emotion.training.parsing import parse_config
from speech_emotion.training.provenance import refuse_shared_speakers, training_record
from speech_emotion.training.saving import TrainingFailed, open_state

Train = Callable[[TrainConfig], History]
CrossValidate = Callable[[TrainConfig, Train, list[str] | None], str]


def train(config: TrainConfig) -> History:
    """Train, and return the history: one dict of figures an epoch.

    Raises:
        ConfigError: the config, the corpus and the model do not fit together.
        TrainingFailed: the loss is not a number, the disk is full, or the push is refused.
        AudioError: a clip of the corpus cannot be decoded.
        CacheError: the vectors of frozen encoders cannot be read or written.
    """
    accelerator = start(config)
    with accelerator.main_process_first():
        parts = load_splits(config)
    tested = parts.pop("test", None)
    model, processor = build_model(config, parts["train"])
    frozen = frozen_parts(config, model)
    freeze(model, frozen, top_convolutions=2 if config.unfreeze == "top2_conv" else 0)
    record = training_record(config, parts, model)
    refuse_shared_speakers(record, tested)
    if config.temperature_from is not None:
        record["temperature_fit"] = fitted = held_out_temperature(
            config.temperature_from,
            speakers=record["speakers"],
            labels=parts["train"].features["label"].names,
        )
        config = replace(config, temperature=fitted["temperature"], temperature_from=None)
    settings = record["settings"] | {"model": config.model, "init_from": config.init_from}
    settings |= {key: value for key, value in record.items() if key.endswith("_fingerprint")}
    del settings["num_train_epochs"]  # a finished run may be resumed for more
    open_state(accelerator, config.output_dir, settings, resume=config.resume)
    head = make_head(config, model, processor, parts, accelerator)
    task = EmotionTask(
        config,
        model,
        processor,
        parts,
        frozen=frozen,
        head=head,
        record=record,
        processes=accelerator.num_processes,
    )
    history = fit(accelerator, task)
    if config.push_to_hub and accelerator.is_main_process:
        folder = Path(config.output_dir)
        repo, private = config.hub_model_id or folder.name, config.hub_private_repo
        card = folder / "README.md"
        card.write_text(with_address(card.read_text("utf-8"), repo), encoding="utf-8")
        try:
            push_folder(folder, repo, message="Trained with train.py", private=private)
        except HubError as error:
            raise TrainingFailed(f"{folder} was not pushed: {error}") from error
    return history


def main(
    arguments: list[str] | None = None,
    *,
    cross_validate: CrossValidate | None = None,
    program: str = "train.py",
) -> int:
    """Run from the command line.

    Args:
        arguments: those of the command line when not given.
        cross_validate: runs ``--folds``; takes a config, :func:`train` and the arguments, and
            returns one line.
        program: name of the command in its messages.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    try:
        family = family_of(arguments)
        kind = TrainConfig if family is None else CONFIGS[family]
        config = parse_config(kind, arguments, program=program, description=__doc__ or "")
        if not isinstance(config, TrainConfig):
            said = baselines.report(config, baselines.train_baseline(config))
        elif config.folds is not None:
            if cross_validate is None:
                raise ConfigError("folds is not available here")
            said = cross_validate(config, train, arguments)
        else:
            best = kept(train(config))
            figures = [f"{name.upper()} {best[name]:.3f}" for name in ("wa", "ua") if name in best]
            said = f"best epoch {best['epoch']}: validation {', '.join(figures)}"
            if not figures:
                said = f"epoch {best['epoch']}, the last, is kept: there is no validation"
    except (ConfigError, TrainingFailed, AudioError, BaselineError, CacheError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; --resume goes on from the last saved state", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        print(said)
    return 0
