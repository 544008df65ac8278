"""A model folder or Hub id, with its config and its training record."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS
from speech_emotion import baselines
from speech_emotion.evaluation import EvaluationError, one_line
from speech_emotion.evaluation.clips import HUB_ID, PROTOCOLS
from speech_emotion.evaluation.labels import emotions_of
from speech_emotion.evaluation.leaks import RECORD_FILE, TrainingRecord, read_record


@dataclass(frozen=True, kw_only=True)
class Model:
    """A checkpoint on disk.

    Attributes:
        name: as the user typed it.
        folder: its folder.
        family: "pipeline" for a custom checkpoint, "stock" for a stock checkpoint, "baseline" for
            a baseline of `speech_emotion.baselines`.
        protocol: the protocol it was trained for; None when its record does not name one.
        record: its training data.
        labels: its own labels in the order of its ids, each with its emotion.
        weights_sha256: hash over the names and bytes of its weights.
        temperature: by which it divides its logits.
        class_mean_logits: mean logits per class; None when they were not measured.
        adapted: whether it has been fitted to recordings of one source.
    """

    name: str
    folder: Path
    family: str
    protocol: str | None
    record: TrainingRecord
    labels: tuple[tuple[str, str | None], ...]
    weights_sha256: str
    temperature: float = 1.0
    class_mean_logits: list[list[float]] | None = None
    adapted: bool = False

    @property
    def speakers(self) -> frozenset[str] | None:
        """The speakers in its training data; None when its record does not name them."""
        return self.record.speakers

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that it can predict, neutral included, in the order of the ids."""
        known = {emotion for _, emotion in self.labels}
        return tuple(name for name in VOTE_CLASSES if name in known)

    @property
    def covers_all(self) -> bool:
        """Whether it can predict all seven emotions."""
        return set(EMOTIONS) <= set(self.emotions)


def open_model(
    name: str, *, meanings: Callable[[Sequence[str]], Sequence[str | None]] | None = None
) -> Model:
    """Find a model and read its config and training record; weights are not loaded.

    Args:
        name: folder or Hub id.
        meanings: takes the model's labels and returns the classes that they count for; when None
            these are emotions, and a label that is not known is an error.

    Raises:
        EvaluationError: no such model, no config.json, no weights, or an unknown label.
    """
    folder = _folder_of(name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        record = read_record(folder) or {}
    except FileNotFoundError as error:
        raise EvaluationError(f"--model {name}: the folder has no config.json") from error
    except ValueError as error:
        raise EvaluationError(
            f"--model {name}: config.json or {RECORD_FILE} is not JSON: {error}"
        ) from error
    family = _family(name, config)
    names = config.get("labels") if family == "baseline" else _in_order(config.get("id2label"))
    if not names:
        raise EvaluationError(f"--model {name}: config.json names no labels")
    weights = sorted(folder.glob("*.safetensors"))
    if family == "baseline":
        known = {baselines.CONFIG_FILE, baselines.RESULTS_FILE, RECORD_FILE, "README.md"}
        weights = sorted(f for f in folder.iterdir() if f.is_file() and f.name not in known)
    if not weights:
        kind = "weights" if family == "baseline" else "safetensors weights"
        raise EvaluationError(f"--model {name}: the folder has no {kind}")
    if meanings is None:
        meanings = partial(emotions_of, where=f"--model {name}")
    protocol = record.get("protocol")
    if protocol not in (None, "natural", *PROTOCOLS):
        raise EvaluationError(
            f"--model {name}: trained under the protocol '{protocol}', "
            f"known are {', '.join(PROTOCOLS)} and natural"
        )
    return Model(
        name=name,
        folder=folder,
        family=family,
        # Only the paper's protocol lets test speakers into training.
        protocol=PROTOCOLS[0] if protocol == "natural" else protocol,
        record=TrainingRecord.of(record),
        labels=tuple(zip(names, meanings(names), strict=True)),
        weights_sha256=_sha256(weights),
        temperature=config.get("temperature") or record.get("temperature") or 1.0,
        class_mean_logits=config.get("class_mean_logits", config.get("emotion_logits")),
        adapted=any(config.get(name) is not None for name in ("logit_bias", "logit_shift")),
    )


def _family(name: str, config: dict[str, Any]) -> str:
    if "family" in config:
        return "baseline"
    if "audio-classification" in (config.get("custom_pipelines") or {}):
        return "pipeline"
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return "stock"
    raise EvaluationError(
        f"--model {name}: config.json names neither an audio-classification pipeline, nor a "
        "transformers model ForSequenceClassification, nor the family of a baseline"
    )


def _in_order(id2label: dict[str, str] | None) -> list[str]:
    return [str(name) for _, name in sorted((id2label or {}).items(), key=lambda kv: int(kv[0]))]


def _folder_of(name: str) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists() or not HUB_ID.fullmatch(name):
        raise EvaluationError(f"--model {name}: no such folder, and not a Hub id (user/name)")
    try:
        return Path(snapshot_download(name))
    except Exception as error:
        # Network, authorisation and cache misses share no base class; the line names them.
        raise EvaluationError(
            f"--model {name}: no such folder, and not found on the Hub or in its cache; "
            f"give a model folder ({one_line(error)})"
        ) from error


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
