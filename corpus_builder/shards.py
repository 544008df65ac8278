"""Parquet shards: written row group by row group, read back without their audio."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features

from corpus_builder import CorpusError
from corpus_builder.clip_store import read_flac, replacing
from corpus_builder.records import COLUMNS, SPLITS, Clip

ROW_GROUP_SIZE = 100
"""Rows that are in memory at once, here and in a reader; the Hub's viewer wants small groups."""

MAX_SHARD_BYTES = 400_000_000


def write_shards(
    folder: Path,
    split: str,
    clips: Sequence[Clip],
    *,
    features: Features,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_rows: Callable[[int], object] = lambda count: None,
) -> list[Path]:
    """Write one split as ``folder/split-00000-of-0000N.parquet``, in the order given.

    The same clips give the same bytes. A shard appears only when it is whole.

    Args:
        folder: the configuration's folder.
        split: name of the split.
        clips: the rows; may be empty, which gives one shard without rows.
        features: the data set's features.
        max_shard_bytes: audio bytes that a shard should not exceed by more than one clip.
        on_rows: called with the number of rows just written, for a progress bar.

    Returns:
        The files, in order.
    """
    total = sum(clip.num_bytes for clip in clips)
    num_shards = max(1, math.ceil(total / max_shard_bytes))
    per_shard = max(1, math.ceil(len(clips) / num_shards))
    num_shards = max(1, math.ceil(len(clips) / per_shard))
    paths = []
    for index in range(num_shards):
        path = folder / f"{split}-{index:05d}-of-{num_shards:05d}.parquet"
        rows = clips[index * per_shard : (index + 1) * per_shard]
        with replacing(path) as temporary:
            _write_shard(temporary, rows, features=features, on_rows=on_rows)
        paths.append(path)
    return paths


def read_rows(out: Path, config: str) -> dict[str, list[dict[str, Any]]]:
    """Read every row of a built configuration without its audio, labels by name.

    Returns:
        Split name -> rows.

    Raises:
        CorpusError: the folder holds no shards of that configuration, or they cannot be read.
    """
    splits: dict[str, list[dict[str, Any]]] = {}
    try:
        for path in sorted((out / config).glob("*-*-of-*.parquet")):
            file = pq.ParquetFile(path)
            names = Features.from_arrow_schema(file.schema_arrow)["label"].names
            rows = file.read(columns=list(COLUMNS)).to_pylist()
            for row in rows:
                row["label"] = names[row["label"]]
            splits.setdefault(path.name.split("-")[0], []).extend(rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise CorpusError(f"{out / config}: not shards of this corpus ({error})") from error
    if not splits:
        raise CorpusError(f"{out}: no shards of a built corpus; expected {config}/*.parquet")
    return {name: splits[name] for name in SPLITS if name in splits}


class _Sink:
    """A file that stores its first error until ``check`` is called.

    Arrow aborts the whole process when a write fails while it cuts chunks by content.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._error: OSError | None = None
        self._position = 0

    closed = False

    def write(self, data: Any) -> int:
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Do nothing: ``check`` and ``close`` report errors."""

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True
        try:
            self._file.close()
        finally:
            self.check()


def _write_shard(
    path: Path, clips: Sequence[Clip], *, features: Features, on_rows: Callable[[int], object]
) -> None:
    schema = features.arrow_schema
    with (
        closing(_Sink(path)) as sink,
        # Content-defined chunks let the Hub store clips that configurations share only once.
        pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            schema,
            use_content_defined_chunking=True,
            write_page_index=True,
        ) as writer,
    ):
        for start in range(0, len(clips), ROW_GROUP_SIZE):
            rows = [_row(clip, features["label"]) for clip in clips[start : start + ROW_GROUP_SIZE]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            sink.check()
            on_rows(len(rows))


def _row(clip: Clip, label: ClassLabel) -> dict[str, Any]:
    return clip.columns() | {
        "audio": {
            "bytes": read_flac(clip.part, clip.part_row),
            "path": f"{clip.utterance_id}.flac",
        },
        "label": label.str2int(clip.label),
    }
