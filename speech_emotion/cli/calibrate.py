"""fit a model's confidence to labelled clips that it did not learn from"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

from speech_emotion.cli import CommandError
from speech_emotion.predict.loading import DEFAULT_MODEL, load_classifier, one_line, write_fitted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "data",
        help="a CSV table with the columns path (from the table's folder on), emotion and, if you "
        "like, transcript; or the folder of a corpus that corpus_builder has built",
    )
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder, which is changed")
    parser.add_argument("--config", default="speaker_disjoint", help="configuration of a corpus")
    parser.add_argument("--split", default="validation", help="split of a corpus")
    parser.add_argument("--corpus", help="only the clips of this part of a corpus")
    parser.add_argument(
        "--keep-temperature", action="store_true", help="only note what adapt needs to know"
    )
    parser.add_argument("--transcriber", default="none", help="for clips without a transcript")
    parser.add_argument("--no-clean", action="store_true", help="a table of cleaned audio")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once: 8")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes: 0")
    parser.add_argument("--dry-run", action="store_true", help="change nothing")


def run(options: argparse.Namespace) -> int:
    """Fit the temperature, note what ``adapt`` needs, and write both into ``config.json``.

    Returns:
        0.
    """
    if not (Path(options.model) / "config.json").is_file():
        raise CommandError(f"{options.model}: not a model folder; a Hub model must be downloaded")
    if Path(options.data).is_dir():
        clips, labels, texts = _read_corpus(
            options.data, options.config, options.split, options.corpus
        )
        clean = False
    else:
        clips, labels, texts = _read_table(Path(options.data))
        clean = not options.no_clean
    classifier = load_classifier(options.model, transcriber=options.transcriber)
    before = classifier.model.config.temperature
    try:
        temperature = classifier.calibrate(
            clips,
            labels,
            text=texts,
            clean=clean,
            batch_size=options.batch_size,
            num_workers=options.workers,
        )
    except ValueError as error:
        raise CommandError(f"{options.data}: {error}") from error
    if options.keep_temperature:
        temperature = before
    print(f"temperature {temperature:.4f} from {len(labels)} clips; it was {before:.4f}")
    if not options.dry_run:
        means = classifier.model.config.class_mean_logits
        write_fitted(Path(options.model), {"temperature": temperature, "class_mean_logits": means})
    return 0


def _read_table(path: Path) -> tuple[list[str], list[str], list[str | None] | None]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path}: not a CSV table") from error
    missing = [name for name in ("path", "emotion") if not rows or not rows[0].get(name)]
    if missing:
        raise CommandError(f"{path}: no rows with the column {' and '.join(missing)}")
    clips = [str(path.parent / row["path"]) for row in rows]
    texts = [row["transcript"] or None for row in rows] if "transcript" in rows[0] else None
    return clips, [row["emotion"].strip() for row in rows], texts


def _read_corpus(
    folder: str, name: str, split: str, corpus: str | None
) -> tuple[Any, list[str], list[str | None] | None]:
    import datasets

    datasets.disable_progress_bars()
    try:
        # A cache of its own: `datasets` knows a folder by its name and card, not by its files, and
        # would give the rows of an earlier build.
        with tempfile.TemporaryDirectory() as cache:
            rows = datasets.load_dataset(
                folder, name, split=split, cache_dir=cache, keep_in_memory=True
            )
        names = rows.features["label"].names
    except Exception as error:  # `datasets` raises a dozen unrelated types here
        raise CommandError(f"{folder} ({name}, {split}): {one_line(error)}") from error
    if corpus is not None:
        of_corpus = [index for index, other in enumerate(rows["corpus"][:]) if other == corpus]
        if not of_corpus:
            raise CommandError(f"{folder} ({name}, {split}): no clips of {corpus}")
        rows = rows.select(of_corpus)
    labels = [names[label] for label in rows["label"][:]]
    texts = rows["transcript"][:] if "transcript" in rows.column_names else None
    return rows.cast_column("audio", datasets.Audio(decode=False)), labels, texts
