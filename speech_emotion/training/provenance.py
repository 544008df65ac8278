"""What a checkpoint says of its making."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from corpus_builder.provenance import commit, versions
from corpus_builder.sources import SOURCES
from speech_emotion.training.config import ConfigError
from speech_emotion.training.data import speakers_and_fingerprint

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "librosa", "noisereduce")


STAGE_FILE = "stage.json"
"""Beside the weights of an encoder that was trained here: what it learnt from."""

OTHER_LICENCES = {
    "espeak-ng": "synthetic speech, no rights in it",
    "fillets-ng-data": "gpl-2.0",
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
        "versions": versions(PACKAGES),
        **figures,
    }


def write_stage(folder: Path, record: dict[str, Any]) -> None:
    """Write :data:`STAGE_FILE` into an encoder's folder."""
    (folder / STAGE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_stages(folder: str | Path) -> list[dict[str, Any]]:
    """Read what an encoder learnt from, the first stage first; empty when it does not say."""
    path = Path(folder) / STAGE_FILE
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    return [*record.pop("before", []), record]


def _stages(config: Any) -> list[dict[str, Any]]:
    """Read the stage files of the encoders from which a run starts."""
    parts = getattr(config, "model", {})  # the baseline rows start from no stage
    sources = (parts.get("audio_config"), parts.get("text_config"))
    return [stage for name in sources if isinstance(name, str) for stage in read_stages(name)]


def _earlier(model: Any) -> list[dict[str, Any]]:
    """Return what was trained before in a run of ours: the model itself, or its speech encoder."""
    config = getattr(model, "config", None)
    records = (
        getattr(config, "training", None),
        getattr(getattr(config, "audio_config", None), "training", None),
    )
    stages = []
    for record in filter(None, records):
        stages += [*record.get("stages", []), {"stage": "fine-tuning", "licences": {}, **record}]
        stages[-1].pop("stages", None)
    return stages


HASH_DIGITS = 12
"""Enough to tell any two clips apart, and few enough for a config."""

DECIDES_NOTHING = (
    "data",
    "out",
    "model",
    "resume",
    "init_from",
    "folds",
    "feature_cache",
    "tracker",
    "push_to_hub",
    "private",
)
"""Settings that say where and not how, or that are told in other places of a record."""


def training_record(config: Any, splits: dict[str, Dataset], model: Any = None) -> dict[str, Any]:
    """Describe data, settings and versions for ``HubertBertConfig.training``, or a baseline row.

    ``speakers`` names everybody that the run, or an earlier one from which it starts, has heard:
    in the train split, and in the validation split on which the best epoch was chosen.
    ``audio_hashes`` names their clips: the first :data:`HASH_DIGITS` digits of each, in one string.

    Args:
        config: settings of the run.
        splits: parts of the corpus that it looks at.
        model: what it starts from, which may say of its own training.
    """
    corpora = sorted(set(splits["train"]["corpus"]))
    record: dict[str, Any] = {
        "data": corpora,
        "licences": {name: licence_of(name) for name in corpora},
        "protocol": config.protocol,
        "seed": config.seed,
        "commit": commit(),
        "versions": versions(PACKAGES),
        "stages": _stages(config) + _earlier(model),
        "settings": {
            key: value for key, value in config.to_dict().items() if key not in DECIDES_NOTHING
        },
    }
    record["speakers"] = [name for stage in record["stages"] for name in stage.get("speakers", [])]
    hashes: set[str] = set()
    for name, rows in splits.items():
        speakers, fingerprint = speakers_and_fingerprint(rows)
        record[f"{name}_clips"] = len(rows)
        record[f"{name}_fingerprint"] = fingerprint
        record["speakers"].extend(speakers)
        hashes |= {value[:HASH_DIGITS] for value in rows["audio_hash"]}
    record["speakers"] = sorted(set(record["speakers"]))
    record["audio_hashes"] = " ".join(sorted(hashes))
    record["fingerprint"] = record["train_fingerprint"]
    return record


def refuse_heard_speakers(record: dict[str, Any], tested: Dataset | None) -> None:
    """Make sure that nobody in the test part was heard, in this run or in one before it.

    Args:
        record: what :func:`training_record` returns.
        tested: the test part; ``None`` when the run has none.

    Raises:
        ConfigError: names the speakers.
    """
    heard = set(record["speakers"]) & set(tested["speaker_id"][:] if tested is not None else ())
    if heard:
        raise ConfigError(
            f"{', '.join(sorted(heard)[:3])} ({len(heard)} in all) would be tested on, but the "
            "model, or what it starts from, has heard them"
        )
