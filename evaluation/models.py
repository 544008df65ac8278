"""A model folder or Hub id, what its config says of its training, and its answers."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from huggingface_hub import snapshot_download
from tqdm.auto import tqdm
from transformers import Pipeline, pipeline

from corpus_builder.labels import EMOTIONS
from evaluation import EvaluationError, one_line
from evaluation.clips import HUB_ID, PROTOCOLS, ClipSet

TEXT_MODES = ("corpus", "none", "asr")
"""Where a model's text comes from: the corpus's transcript, nowhere, its own transcriber."""

Answer = np.ndarray | str
"""Seven probabilities in label-id order, or one line saying why there is none."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A checkpoint on disk.

    Attributes:
        name: as the user typed it.
        folder: where its files lie.
        protocol: the protocol it was trained for; None when its config does not say.
        speakers: the speakers it was trained on; None when its config does not say.
        weights_sha256: hash over the names and bytes of its safetensors files.
    """

    name: str
    folder: Path
    protocol: str | None
    speakers: frozenset[str] | None
    weights_sha256: str


def open_model(name: str) -> Model:
    """Find a model and read its config; nothing is loaded yet.

    Args:
        name: folder or Hub id.

    Raises:
        EvaluationError: no such model, no config.json, no weights, or labels other than the
            seven emotions.
    """
    folder = _folder_of(name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvaluationError(f"--model {name}: the folder has no config.json") from error
    except json.JSONDecodeError as error:
        raise EvaluationError(f"--model {name}: config.json is not JSON: {error}") from error
    _check_labels(name, config)
    if "audio-classification" not in (config.get("custom_pipelines") or {}):
        raise EvaluationError(
            f"--model {name}: config.json names no audio-classification pipeline of its own, "
            "so it is not a speech-and-text model of this project"
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise EvaluationError(f"--model {name}: the folder has no safetensors weights")
    training = config.get("training") or {}
    protocol, speakers = training.get("protocol"), training.get("speakers")
    if protocol is not None and protocol not in PROTOCOLS:
        raise EvaluationError(
            f"--model {name}: trained under the protocol '{protocol}', "
            f"known are {' and '.join(PROTOCOLS)}"
        )
    return Model(
        name=name,
        folder=folder,
        protocol=protocol,
        speakers=None if speakers is None else frozenset(speakers),
        weights_sha256=_sha256(weights),
    )


def load_pipeline(model: Model, *, text: str) -> Pipeline:
    """Load the model for answering.

    Args:
        model: what :func:`open_model` found.
        text: one of :data:`TEXT_MODES`; only "asr" wakes the model's transcriber.

    Raises:
        EvaluationError: transformers cannot load it.
    """
    options = {} if text == "asr" else {"transcriber": "none"}
    try:
        return pipeline(
            "audio-classification", model=str(model.folder), trust_remote_code=True, **options
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise EvaluationError(
            f"--model {model.name}: cannot be loaded: {one_line(error)}"
        ) from error


def answers(pipe: Pipeline, clips: ClipSet, *, text: str, batch_size: int) -> list[Answer]:
    """Ask the model about every clip, in order.

    A clip that cannot be answered gets its error instead; the others go on.
    """
    transcripts = clips.clips["transcript"][:]
    found: list[Answer] = []
    with tqdm(total=len(transcripts), desc="clips", unit="clip", disable=None) as progress:
        for start in range(0, len(transcripts), batch_size):
            batch = slice(start, start + batch_size)
            rows = pipe(
                clips.clips[batch]["audio"],
                text=transcripts[batch] if text == "corpus" else None,
                clean=not clips.cleaned,
                batch_size=batch_size,
            )
            found += map(_probabilities, rows)
            progress.update(len(rows))
    return found


def _probabilities(row: list[dict] | dict) -> Answer:
    if isinstance(row, dict):
        return row["error"]
    scores = {item["label"]: item["score"] for item in row}
    return np.asarray([scores[emotion] for emotion in EMOTIONS])


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


def _check_labels(name: str, config: dict) -> None:
    labels = [str(label) for label in (config.get("id2label") or {}).values()]
    if sorted(labels) != sorted(EMOTIONS):
        unknown = [label for label in labels if label not in EMOTIONS]
        missing = [label for label in EMOTIONS if label not in labels]
        wrong = [f"unknown label {', '.join(unknown)}"] if unknown else []
        wrong += [f"no label {', '.join(missing)}"] if missing else []
        raise EvaluationError(
            f"--model {name}: this benchmark scores {', '.join(EMOTIONS)}; "
            f"the model has {' and '.join(wrong) or 'a label twice'}"
        )


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
