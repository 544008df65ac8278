"""The training record of a checkpoint, and those of the stages that it starts from."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from corpus_builder.provenance import commit, versions
from corpus_builder.sources import SOURCES
from speech_emotion.training.data import corpus_cleaning, speakers_and_fingerprint
from speech_emotion.training.parsing import ConfigError

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "librosa")

RECORD_FILE = "training_record.json"
"""The whole training record, beside ``config.json``, which has it without the hashes of clips."""

HASHES = "audio_hashes"
"""Key of a record that stands in :data:`RECORD_FILE` only: a string of tens of thousands of
characters."""

STAGE_FILE = "stage.json"
"""Training data of an encoder that was trained here, beside its weights."""

OTHER_LICENCES = {
    "all-minilm-l6-v2": "apache-2.0",
    "asterisk-core-sounds": "cc-by-sa-3.0",
    "beneath-a-steel-sky": "freeware, may be changed and given away",
    "espeak-ng": "synthetic speech, no rights in it",
    "fillets-ng-data": "gpl-2.0",
    "flight-of-the-amazon-queen": "freeware, may be changed and given away",
    "goemotions": "cc-by-4.0",
    "google-research-datasets/go_emotions": "cc-by-4.0",
    "hedgewars-data": "gfdl-1.3",
    "sentence-transformers/all-minilm-l6-v2": "apache-2.0",
    "whisper-tiny.en-encoder": "mit",
    "openai/whisper-tiny.en": "mit",
}


def licence_of(name: str) -> str:
    """Licence of a corpus, a text corpus or a teacher; ``unknown`` when it is not listed here."""
    source = SOURCES.get(name.lower())
    return source.licence if source else OTHER_LICENCES.get(name.lower(), "unknown")


def stage_record(kind: str, trained_on: list[str], config: Any, **figures: Any) -> dict[str, Any]:
    """Describe a stage that trained one encoder, for :data:`STAGE_FILE`.

    Args:
        kind: ``distillation`` or ``text``.
        trained_on: names of corpora, of a teacher, of a synthesiser.
        config: the dataclass of the stage's settings.
        figures: what was measured in the stage.
    """
    return {
        "stage": kind,
        "licences": {name: licence_of(name) for name in trained_on},
        "seed": config.seed,
        "commit": commit(),
        "versions": versions(PACKAGES),
        **figures,
    }


def write_stage(folder: Path, record: dict[str, Any]) -> None:
    """Write :data:`STAGE_FILE` into an encoder's folder."""
    (folder / STAGE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_stages(folder: str | Path) -> list[dict[str, Any]]:
    """Read the stages of an encoder, the first one first; empty when it has no record."""
    path = Path(folder) / STAGE_FILE
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    return [*record.pop("before", []), record]


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write :data:`RECORD_FILE` into a checkpoint's folder."""
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    (folder / RECORD_FILE).write_text(text, encoding="utf-8")


def short_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record for ``config.json``: without the hashes, in its stages either."""
    short = {key: value for key, value in record.items() if key != HASHES}
    if "stages" in short:
        short["stages"] = [short_record(stage) for stage in short["stages"]]
    return short


def read_record(source: str | Path, config_record: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the whole record of a checkpoint.

    Args:
        source: folder or Hub id of the checkpoint.
        config_record: that of its config, which is whole in checkpoints of earlier releases.
    """
    try:
        if Path(source).is_dir():
            path = Path(source) / RECORD_FILE
        else:
            path = Path(hf_hub_download(str(source), RECORD_FILE))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, HfHubHTTPError):
        return config_record


def _stages(config: Any) -> list[dict[str, Any]]:
    """Read the stage files of the encoders from which a run starts."""
    parts = getattr(config, "model", {})  # baselines start from no stage
    sources = (parts.get("audio_config"), parts.get("text_config"))
    return [stage for name in sources if isinstance(name, str) for stage in read_stages(name)]


def _earlier(run: Any, model: Any) -> list[dict[str, Any]]:
    """Return the earlier runs of ours behind a start: the model's, or its speech encoder's."""
    config = getattr(model, "config", None)
    audio = getattr(run, "model", {}).get("audio_config")
    sources = (
        (getattr(run, "init_from", None), getattr(config, "training", None)),
        (audio, getattr(getattr(config, "audio_config", None), "training", None)),
    )
    stages = []
    for source, record in sources:
        if record and isinstance(source, str):
            record = read_record(source, record)
        if record:
            stages += record.get("stages", [])
            # An encoder that was frozen in that run has learnt nothing from its clips.
            frozen = "audio_model" in ((record.get("settings") or {}).get("freeze") or ())
            if not (frozen and source == audio):
                run_itself = {"stage": "fine-tuning", "licences": {}, **record}
                run_itself.pop("stages", None)
                stages.append(run_itself)
    return stages


HASH_DIGITS = 12
"""Enough to tell any two clips apart."""

DECIDES_NOTHING = (
    "data",
    "output_dir",
    "model",
    "resume",
    "init_from",
    "folds",
    "temperature_from",
    "feature_cache",
    "report_to",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
)
"""Settings that do not change the weights, or that stand elsewhere in a record."""


def training_record(config: Any, splits: dict[str, Dataset], model: Any = None) -> dict[str, Any]:
    """Describe data, settings and versions of a run, for :data:`RECORD_FILE` or a baseline.

    ``cleaning`` is that of the corpus, where it says so;
    ``speakers`` are those of the training and validation clips, of this run and of those from
    which it starts. ``audio_hashes`` are the first :data:`HASH_DIGITS` digits of the hashes of
    this run's clips, in one string.

    Args:
        config: settings of the run.
        splits: parts of the corpus that it uses.
        model: what it starts from, which may have a record of its own.
    """
    corpora = sorted(set(splits["train"]["corpus"]))
    record: dict[str, Any] = {
        "data": corpora,
        "licences": {name: licence_of(name) for name in corpora},
        "cleaning": corpus_cleaning(config.data),
        "protocol": config.protocol,
        "seed": config.seed,
        "commit": commit(),
        "versions": versions(PACKAGES),
        "stages": _stages(config) + _earlier(config, model),
        "settings": {
            key: value for key, value in config.to_dict().items() if key not in DECIDES_NOTHING
        },
    }
    pairs = dict(record["settings"].get("text_pairs") or {})
    if pairs and Path(str(pairs["comments"])).is_dir():  # without the path of this machine
        record["settings"]["text_pairs"] = pairs | {"comments": Path(pairs["comments"]).name}
    record["speakers"] = [name for stage in record["stages"] for name in stage.get("speakers", [])]
    hashes: set[str] = set()
    for name, rows in splits.items():
        speakers, fingerprint = speakers_and_fingerprint(rows)
        record[f"{name}_clips"] = len(rows)
        record[f"{name}_fingerprint"] = fingerprint
        record["speakers"].extend(speakers)
        hashes |= {value[:HASH_DIGITS] for value in rows["audio_hash"]}
    record["speakers"] = sorted(set(record["speakers"]))
    record[HASHES] = " ".join(sorted(hashes))
    record["fingerprint"] = record["train_fingerprint"]
    return record


def refuse_shared_speakers(record: dict[str, Any], tested: Dataset | None) -> None:
    """Refuse to test on speakers that are in the training data of this run or of one before it.

    Args:
        record: what :func:`training_record` returns.
        tested: the test part; ``None`` when the run has none.

    Raises:
        ConfigError: names the speakers.
    """
    shared = set(record["speakers"]) & set(tested["speaker_id"][:] if tested is not None else ())
    if shared:
        raise ConfigError(
            f"{', '.join(sorted(shared)[:3])} ({len(shared)} in all) would be tested on, but they "
            "are in the training data of the model or of what it starts from"
        )
