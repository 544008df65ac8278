"""What a checkpoint says of its making."""

import platform
from importlib.metadata import version
from typing import Any

from datasets import Dataset

from corpus_builder.provenance import commit
from corpus_builder.sources import SOURCES
from training.config import TrainConfig
from training.data import speakers_and_fingerprint

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "librosa", "noisereduce")


def training_record(config: TrainConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Describe data, settings and versions for ``HubertBertConfig.training``.

    ``speakers`` and ``fingerprint`` cover every clip that the run looked at: the train split,
    and the validation split on which the best epoch was chosen.
    """
    corpora = sorted(set(splits["train"]["corpus"]))
    record: dict[str, Any] = {
        "data": corpora,
        "licences": {name: SOURCES[name].licence for name in corpora if name in SOURCES},
        "protocol": config.protocol,
        "seed": config.seed,
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
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
