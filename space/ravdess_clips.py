"""The clips of the RAVDESS benchmark: from a folder or a zip as released, or from the Hub."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archives import AUDIO_SUFFIXES, safe_name, unpack
from clips import ClipError

EMOTIONS = ("angry", "calm", "disgust", "fearful", "happy", "sad", "surprised")
"""The classes, in label-id order 0..6."""

NEUTRAL = "neutral"
CODES = dict(
    zip(
        ("01", "02", "03", "04", "05", "06", "07", "08"),
        (NEUTRAL, "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        strict=True,
    )
)
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
CORPUS = "ravdess"

# Modality 03 is audio only and channel 01 is speech; videos and songs are not scored.
NAME = re.compile(
    r"03-01-(?P<emotion>0[1-8])-0[12]-(?P<statement>0[12])-0[12]-(?P<actor>0[1-9]|1\d|2[0-4])"
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
COLUMNS = ("audio", "label", "speaker_id", "utterance_id", "corpus")
MOST_ROWS = 50_000
"""Most rows of a data set that are read."""


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """One clip to score.

    Attributes:
        path: its file.
        label: one of EMOTIONS.
        speaker: such as "ravdess-07".
        name: in the results.
        transcript: or None.
        cleaned: whether it was cleaned when a corpus was built.
    """

    path: Path
    label: str
    speaker: str
    name: str
    transcript: str | None
    cleaned: bool


@dataclass(kw_only=True)
class Clips:
    """Clips, and what was left out; complete after one pass over the clips.

    Attributes:
        source: name of the data.
        found: the clips, for one pass.
        total: number of clips, None if it is not known yet.
        removed: number of clips that the benchmark does not use, by reason.
        rejected: one line for each file that is no clip of RAVDESS.
    """

    source: str
    found: Iterator[LabelledClip]
    total: int | None = None
    removed: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Largest number of clips, and largest sum of their files in units of 10^6 bytes."""

    max_files: int = 10_000
    max_megabytes: float = 10_000.0


@contextmanager
def open_clips(
    data: str | Path,
    *,
    limits: Limits | None = None,
    config: str = "speaker_disjoint",
    split: str = "test",
    token: bool | None = None,
) -> Iterator[Clips]:
    """Open a folder or a zip of RAVDESS as released, in any layout, or a built corpus.

    Args:
        data: folder, zip file, or Hub data set id.
        limits: of the clips.
        config: configuration of a corpus.
        split: of a corpus.
        token: False to open public data sets only.

    Yields:
        The clips. Files of a zip or a data set are removed after the `with` block.

    Raises:
        ClipError: it cannot be used; one line.
    """
    path, limits = Path(data), limits or Limits()
    with tempfile.TemporaryDirectory(prefix="ser-ravdess-") as folder:
        if path.is_file():
            # A zip has neutral clips as well, and one well-known archive has every clip twice.
            most = 3 * limits.max_files
            files = unpack(path, folder, max_files=most, max_megabytes=limits.max_megabytes)
            source = safe_name(path.name)
            yield _from_files(sorted(files), root=Path(folder), source=source, limits=limits)
        elif path.is_dir() and not any(path.glob("*/*.parquet")):
            files = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in AUDIO_SUFFIXES]
            yield _from_files(files, root=path, source=path.name, limits=limits)
        elif path.is_dir() or HUB_ID.fullmatch(str(data)):
            name = path.name if path.is_dir() else data
            clips = Clips(source=f"{name} ({config}, {split})", found=iter(()))
            rows = _rows(str(data), config, split, token=token)
            clips.found = _from_rows(rows, clips, folder=Path(folder), limits=limits)
            yield clips
        else:
            raise ClipError(
                f"{safe_name(str(data))}: neither a folder, nor a zip file, nor a data set id "
                "(user/name)."
            )


def _from_files(files: list[Path], *, root: Path, source: str, limits: Limits) -> Clips:
    clips = Clips(source=source, found=iter(()))
    kept: dict[str, LabelledClip] = {}
    for file in files:
        shown = file.relative_to(root).as_posix()
        match = NAME.fullmatch(file.stem)
        if not match:
            clips.rejected.append(f"{shown}: not the name of a spoken clip of RAVDESS")
        elif file.stem in kept:
            clips.rejected.append(f"{shown}: a second file of this name")
        elif CODES[match["emotion"]] == NEUTRAL:
            clips.removed[NEUTRAL] += 1
        else:
            kept[file.stem] = LabelledClip(
                path=file,
                label=CODES[match["emotion"]],
                speaker=f"{CORPUS}-{match['actor']}",
                name=shown,
                transcript=STATEMENTS[match["statement"]],
                cleaned=False,
            )
    if not kept:
        raise ClipError(
            f"{source}: no spoken clip of RAVDESS with one of the seven emotions; its files are "
            "named like 03-01-05-01-02-01-12.wav."
        )
    if len(kept) > limits.max_files:
        raise ClipError(f"{source}: {len(kept)} clips; at most {limits.max_files} are accepted.")
    clips.found, clips.total = iter(kept.values()), len(kept)
    return clips


def _rows(name: str, config: str, split: str, *, token: bool | None) -> Iterator[dict[str, Any]]:
    """Stream the rows of a data set; nothing is stored on disk.

    Raises:
        ClipError: it cannot be opened, or is no corpus of this project.
    """
    import datasets  # slow, and only needed here

    try:
        stream = datasets.load_dataset(name, config, split=split, streaming=True, token=token)
        missing = [column for column in COLUMNS if column not in stream.features]
        if missing:
            raise ClipError(f"{name}: the data set has no column {', '.join(missing)}.")
        labels = getattr(stream.features["label"], "names", None)
        if labels is None or not set(EMOTIONS) <= set(labels):
            raise ClipError(f"{name}: its label column must name {', '.join(EMOTIONS)}.")
        wanted = [*COLUMNS, *({"transcript"} & set(stream.features))]
        stream = stream.cast_column("audio", datasets.Audio(decode=False)).select_columns(wanted)
        for row in stream:
            yield row | {"label": labels[row["label"]]}
    except ClipError:
        raise
    except Exception as error:
        # `datasets` raises many unrelated types here; the first line of each is enough.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClipError(f"{name}: the data set cannot be read: {reason}") from error


def _from_rows(
    rows: Iterator[dict[str, Any]], clips: Clips, *, folder: Path, limits: Limits
) -> Iterator[LabelledClip]:
    found, size = 0, 0
    for seen, row in enumerate(rows, start=1):
        if seen > MOST_ROWS:
            raise ClipError(f"{clips.source}: more than {MOST_ROWS} rows.")
        if row["corpus"] != CORPUS:
            clips.removed[f"corpus {row['corpus']}"] += 1
        elif row["label"] not in EMOTIONS:
            clips.removed[row["label"]] += 1
        else:
            content = row["audio"]["bytes"] or b""
            found, size = found + 1, size + len(content)
            if found > limits.max_files or size > limits.max_megabytes * 1e6:
                raise ClipError(
                    f"{clips.source}: too large; at most {limits.max_files} clips and "
                    f"{limits.max_megabytes:g} MB are accepted."
                )
            path = folder / f"{found}.wav"
            path.write_bytes(content)
            yield LabelledClip(
                path=path,
                label=row["label"],
                speaker=str(row["speaker_id"]),
                name=safe_name(str(row["utterance_id"])),
                transcript=row.get("transcript"),
                cleaned=True,
            )
    if not found:
        raise ClipError(f"{clips.source}: no clip of RAVDESS with one of the seven emotions.")
