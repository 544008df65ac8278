"""Model folders that are fitted or copied, and the labelled clips for ``calibrate``."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hub_model
from corpus_builder.labels import check_label_map, label_of
from corpus_builder.tables import read_table
from speech_emotion.predict import PredictError
from speech_emotion.predict.loading import loading_reason

RENAMED = {"emotion_logits": "class_mean_logits", "logit_shift": "logit_bias"}
"""Settings whose names changed after the first release; the shift had the other sign."""


MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.py", "onnx/*.onnx")
"""The files of a model folder; a push uploads no others."""


def require_model_folder(model: str) -> Path:
    """Return the folder of a model that is to be changed or copied.

    Raises:
        PredictError: it is no model folder.
    """
    if not (Path(model) / "config.json").is_file():
        raise PredictError(f"{model}: not a model folder; download a Hub model first")
    return Path(model)


def is_stock(folder: Path) -> bool:
    """Whether a model folder holds a stock checkpoint."""
    return _is_stock(_settings(folder))


def write_fitted(folder: Path, changed: dict[str, Any]) -> None:
    """Put fitted values into a ``config.json``; the file is replaced whole or not at all.

    Settings that have the name of an older release get today's. The code that lies beside them
    then becomes the installed one, because older code does not know the new names.

    Raises:
        PredictError: it cannot be written.
    """
    from speech_emotion.predict.stock_checkpoints import FITTED

    path, settings = folder / "config.json", _settings(folder)
    if _is_stock(settings):
        settings[FITTED] = _renamed(settings.get(FITTED, {})) | changed
    else:
        if RENAMED.keys() & settings.keys():
            write_code(folder)
        settings = _renamed(settings) | changed
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8"
        ) as file:
            file.write(json.dumps(settings, indent=2, sort_keys=True) + "\n")
        os.chmod(file.name, path.stat().st_mode)
        os.replace(file.name, path)
    except OSError as error:
        raise PredictError(f"{path}: cannot be written ({error.strerror})") from error


def copy_fitted(folder: Path, out: Path, changed: dict[str, Any]) -> None:
    """Copy a model folder and put fitted values into the copy; see :func:`write_fitted`.

    Raises:
        PredictError: it cannot be written.
    """
    try:
        shutil.copytree(folder, out)
    except OSError as error:
        raise PredictError(f"{out}: cannot be written ({error})") from error
    write_fitted(out, changed)


def copy_model(folder: Path, out: Path) -> None:
    """Copy the files of a model, :data:`MODEL_FILES`, and no others.

    A custom checkpoint without its code, as an installed package has it, gets that of hub_model.
    """
    for pattern in MODEL_FILES:
        for file in folder.glob(pattern):
            target = out / file.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
    settings = json.loads((out / "config.json").read_text(encoding="utf-8"))
    if settings.get("auto_map") and not any(out.glob("*.py")):
        write_code(out)


def write_code(folder: Path, *, clear: bool = False) -> None:
    """Write the code of a custom checkpoint: the modules of hub_model.

    Args:
        folder: of the checkpoint.
        clear: delete all other Python files.
    """
    if clear:
        for file in folder.glob("*.py"):
            file.unlink()
    for file in Path(str(hub_model.__file__)).parent.glob("*.py"):
        if file.name != "__init__.py":
            shutil.copy(file, folder / file.name)


def read_labelled_table(
    path: Path,
    *,
    labels: Sequence[str],
    words: Mapping[str, str | None] = MappingProxyType({}),
    on_note: Callable[[str], None] | None = None,
) -> tuple[list[str], list[str], list[str | None] | None]:
    """Read a table of clips.

    Args:
        path: a table with the columns ``path``, relative to its folder, ``emotion`` and, if there
            are any, ``transcript``.
        labels: of the model. Clips of other emotions are left out.
        words: what words of the table mean; see :func:`~corpus_builder.labels.label_of`.
        on_note: called with one line for each line of the table that cannot be used, and one for
            the clips of other emotions. Without it a line that cannot be used is an error.

    Returns:
        paths; labels; transcripts, ``None`` for a clip without one or a table without the column.

    Raises:
        TableError: it cannot be read.
        PredictError: no clip has one of the labels.
    """
    table = read_table(path, required=("path", "emotion"), optional=("transcript",), on_bad=on_note)
    used, emotions = known_labels(
        [row["emotion"] for row in table.rows], labels, words, where=str(path), on_note=on_note
    )
    rows = [table.rows[index] for index in used]
    clips = [str(table.file(row["path"])) for row in rows]
    if "transcript" not in table.columns:
        return clips, emotions, None
    return clips, emotions, [row["transcript"] or None for row in rows]


def known_labels(
    found: Sequence[str],
    labels: Sequence[str],
    words: Mapping[str, str | None],
    *,
    where: str,
    on_note: Callable[[str], None] | None,
) -> tuple[list[int], list[str]]:
    """Return the places of the clips that have one of ``labels``, and the label of each.

    Args:
        found: the emotion of every clip, as the data has it.
        labels, words, on_note: see :func:`read_labelled_table`.
        where: the data, for messages.

    Raises:
        CorpusError: the label map names a label that is none of them.
        PredictError: no clip has one of the labels.
    """
    check_label_map(words, labels)
    meant = [label_of(word, labels, words) for word in found]
    others = Counter(word for word, label in zip(found, meant, strict=True) if label is None)
    if others:
        counts = ", ".join(f"{word} {count}" for word, count in others.items())
        line = f"{where}: not emotions of the model ({', '.join(labels)}): {counts}"
        if others.total() == len(meant):
            raise PredictError(line)
        if on_note is not None:
            on_note(f"{line}; left out")
    used = [index for index, label in enumerate(meant) if label is not None]
    return used, [label for label in meant if label is not None]


def read_labelled_corpus(
    folder: str,
    name: str,
    split: str,
    corpus: str | None,
    *,
    labels: Sequence[str],
    words: Mapping[str, str | None] = MappingProxyType({}),
    on_note: Callable[[str], None] | None = None,
) -> tuple[Any, list[str], list[str | None] | None]:
    """Read a split of a corpus that ``corpus_builder`` has built.

    Args:
        folder: of the corpus.
        name: configuration.
        split: name of the split.
        corpus: only the clips of this source corpus; all when not given.
        labels, words, on_note: see :func:`read_labelled_table`.

    Returns:
        the clips, as a ``datasets.Dataset``; emotions; transcripts, as of a table.

    Raises:
        PredictError: it cannot be read, or holds no such clips.
    """
    import datasets

    datasets.disable_progress_bars()
    where = f"{folder} ({name}, {split})"
    try:
        # A cache of its own: `datasets` identifies a folder by its name and card, not by its
        # files, and would return the rows of an earlier build.
        with tempfile.TemporaryDirectory() as cache:
            rows = datasets.load_dataset(
                folder, name, split=split, cache_dir=cache, keep_in_memory=True
            )
        names = rows.features["label"].names
    except Exception as error:  # `datasets` raises a dozen unrelated types here
        reason = loading_reason(error)
        if "BuilderConfig" in reason:
            there = reason.partition("Available: ")[2].strip("[]").replace("'", "")
            reason = f"it has no configuration {name}, but {there}; choose one with --config"
        raise PredictError(f"{where}: {reason}") from error
    if corpus is not None:
        of_corpus = [index for index, other in enumerate(rows["corpus"][:]) if other == corpus]
        if not of_corpus:
            raise PredictError(f"{where}: no clips of {corpus}")
        rows = rows.select(of_corpus)
    used, emotions = known_labels(
        [names[label] for label in rows["label"][:]], labels, words, where=where, on_note=on_note
    )
    rows = rows.select(used)
    texts = rows["transcript"][:] if "transcript" in rows.column_names else None
    return rows.cast_column("audio", datasets.Audio(decode=False)), emotions, texts


def _is_stock(settings: dict[str, Any]) -> bool:
    from hub_model.configuration_hubert_bert import HubertBertConfig

    return settings.get("model_type") != HubertBertConfig.model_type


def _settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings under today's names; the values of older names win, as when they are loaded."""
    settings = dict(settings)
    for old, new in RENAMED.items():
        if old in settings:
            value = settings.pop(old)
            if old == "logit_shift" and value is not None:
                value = [-number for number in value]
            if value is not None or new not in settings:
                settings[new] = value
    return settings
