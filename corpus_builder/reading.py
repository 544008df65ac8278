"""Opening a built corpus, as training and evaluation do."""

from pathlib import Path
from typing import Any

import datasets
from datasets.fingerprint import Hasher


def open_corpus(name: str, protocol: str | None, **options: Any) -> Any:
    """Call ``load_dataset`` with a cache that a rebuilt folder does not share.

    ``datasets`` identifies a local folder by its name and card, not by its files, and would return
    the rows of an earlier build.

    Args:
        name: folder or Hub id.
        protocol: configuration of the corpus; None for a data set that has one.
        options: as for ``load_dataset``.
    """
    if Path(name).is_dir():
        files = sorted(path for path in Path(name).resolve().rglob("*") if path.is_file())
        stamp = Hasher.hash([(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files])
        options["cache_dir"] = str(Path(datasets.config.HF_DATASETS_CACHE) / stamp)
    return datasets.load_dataset(name, protocol, **options)
