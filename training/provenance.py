"""What a checkpoint says of its making."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset

from corpus_builder.provenance import commit
from corpus_builder.sources import SOURCES
from training.config import TrainConfig
from training.data import speakers_and_fingerprint

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "librosa", "noisereduce")


STAGE_FILE = "stage.json"
"""Beside the weights of an encoder that was trained here: what it learnt from."""

OTHER_LICENCES = {
    "espeak-ng": "synthetic speech, no rights in it",
    "goemotions": "cc-by-4.0",
    "whisper-tiny.en-encoder": "mit",
    "openai/whisper-tiny.en": "mit",
}


def licence_of(name: str) -> str:
    """Licence of a corpus, a text corpus or a teacher; says so when it is not known here."""
    source = SOURCES.get(name.lower())
    return source.licence if source else OTHER_LICENCES.get(name.lower(), "unknown")


def stage_record(kind: str, learnt_from: list[str], config: Any, **figures: Any) -> dict[str, Any]:
    """Describe a stage that trained one encoder, for :data:`STAGE_FILE`.

    Args:
        kind: ``distillation`` or ``text``.
        learnt_from: names of corpora, of a teacher, of a synthesiser.
        config: the dataclass of the stage's settings.
        figures: what was measured in the stage.
    """
    return {
        "stage": kind,
        "licences": {name: licence_of(name) for name in learnt_from},
        "seed": config.seed,
        "commit": commit(),
        "versions": _versions(),
        **figures,
    }


def write_stage(folder: Path, record: dict[str, Any]) -> None:
    """Write :data:`STAGE_FILE` into an encoder's folder."""
    (folder / STAGE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _stages(config: TrainConfig) -> list[dict[str, Any]]:
    """Read the stage files of the encoders from which a run starts."""
    sources = (config.model.get("audio_config"), config.model.get("text_config"))
    files = [Path(name) / STAGE_FILE for name in sources if isinstance(name, str)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in files if path.is_file()]


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def training_record(config: TrainConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Describe data, settings and versions for ``HubertBertConfig.training``.

    ``speakers`` and ``fingerprint`` cover every clip that the run looked at: the train split,
    and the validation split on which the best epoch was chosen.
    """
    corpora = sorted(set(splits["train"]["corpus"]))
    record: dict[str, Any] = {
        "data": corpora,
        "licences": {name: licence_of(name) for name in corpora},
        "protocol": config.protocol,
        "seed": config.seed,
        "commit": commit(),
        "versions": _versions(),
        "stages": _stages(config),
        "settings": {
            key: value
            for key, value in config.to_dict().items()
            if key not in ("data", "out", "model", "resume", "init_from")
        },
    }
    for name, rows in splits.items():
        speakers, fingerprint = speakers_and_fingerprint(rows)
        record[f"{name}_clips"] = len(rows)
        record[f"{name}_fingerprint"] = fingerprint
        record.setdefault("speakers", []).extend(speakers)
    record["speakers"] = sorted(set(record["speakers"]))
    record["fingerprint"] = record["train_fingerprint"]
    return record
