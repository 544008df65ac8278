"""Tables of results, each figure with the way it was obtained.

    python evaluate_benchmarks.py ravdess --model checkpoints/mini --data corpus/

prints the table as Markdown and writes a results file (JSON) with the predictions of every
clip (parquet) beside it; ``python -m evaluation.report`` turns results files into documents.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import transformers

import metrics
from evaluation import EvaluationError, paper_rows, provenance, ravdess
from evaluation.models import TEXT_MODES
from evaluation.paper_tables import paper_table
from evaluation.ravdess import Outcome
from evaluation.report import RESULTS
from evaluation.tables import confusion_tables, ravdess_table


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong one is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="evaluate_benchmarks.py", description="Measure models and write tables of results."
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    one = benchmarks.add_parser("ravdess", help="RAVDESS, seven emotions (paper, Table 9)")
    one.add_argument(
        "--model",
        action="append",
        required=True,
        help="model folder or Hub id; may be given several times",
    )
    one.add_argument(
        "--data", required=True, help="built corpus, Hub data set id, or raw RAVDESS folder"
    )
    one.add_argument("--split", default="test", help="split of a built corpus (test)")
    one.add_argument(
        "--text",
        choices=TEXT_MODES,
        default="corpus",
        help="the corpus's transcript, none, or the model's transcriber (corpus)",
    )
    one.add_argument("--limit", type=int, help="score at most this many clips of each set")
    one.add_argument("--batch-size", type=int, default=8, help="clips in one pass (8)")
    one.add_argument(
        "--seed", type=int, default=metrics.SEED, help="seed of draws and resampling (42)"
    )
    one.add_argument(
        "--out", type=Path, default=RESULTS / "ravdess.json", help="results/ravdess.json"
    )
    for name, what in (("table6", "the eight classifiers"), ("table8", "the whole comparison")):
        table = benchmarks.add_parser(name, help=f"paper, Table {name[-1]}: {what}, both protocols")
        table.add_argument("--data", required=True, help="built corpus, or Hub data set id")
        table.add_argument(
            "--runs", type=Path, default=Path("runs"), help="folder of the trained rows (runs)"
        )
        table.add_argument(
            "--model", action="append", default=[], help="main model to show beside the rows"
        )
        table.add_argument(
            "--neural",
            action="store_true",
            help="train the neural rows that are missing; without it they say how to",
        )
        table.add_argument("--limit", type=int, help="score at most this many clips a protocol")
        table.add_argument(
            "--seed", type=int, default=metrics.SEED, help="seed of the bootstrap (42)"
        )
        table.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit code."""
    options = parse_arguments(arguments)
    # What goes wrong is said in one line at the end; the libraries need not say it as well.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    run = run_ravdess if options.benchmark == "ravdess" else run_table
    try:
        typed, outcome = run(options)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    result = as_result(options, typed, outcome)
    write(result, outcome, options.out)
    if options.benchmark == "ravdess":
        print(ravdess_table(result), confusion_tables(result), sep="\n\n")
    else:
        print(paper_table(result))
    print(f"\nWritten: {options.out} and {predictions_file(options.out)}", file=sys.stderr)
    return 0


def run_ravdess(options: argparse.Namespace) -> tuple[list[str], Outcome]:
    """Run the RAVDESS benchmark; returns what was typed, less the defaults, and the outcome."""
    config = ravdess.RavdessConfig(
        models=tuple(options.model),
        data=options.data,
        split=options.split,
        text=options.text,
        limit=options.limit,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    typed = []
    defaults = ravdess.RavdessConfig(models=(), data="")
    for name in ("split", "text", "limit", "batch_size", "seed"):
        if getattr(config, name) != getattr(defaults, name):
            typed += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    return typed, ravdess.run(config)


def run_table(options: argparse.Namespace) -> tuple[list[str], Outcome]:
    """Measure the rows of Table 6 or 8; returns what was typed, less the defaults, and them."""
    config = paper_rows.TableConfig(
        table=options.benchmark,
        data=options.data,
        runs=options.runs,
        models=tuple(options.model),
        neural=options.neural,
        limit=options.limit,
        seed=options.seed,
    )
    typed = ["--neural"] if config.neural else []
    defaults = paper_rows.TableConfig(table=config.table, data="")
    for name in ("runs", "limit", "seed"):
        if getattr(config, name) != getattr(defaults, name):
            typed += [f"--{name}", provenance.portable(str(getattr(config, name)))]
    return typed, paper_rows.run(config)


def as_result(options: argparse.Namespace, more: list[str], outcome: Outcome) -> dict[str, Any]:
    """All that goes into the results file; only ``seconds`` differs between two runs."""
    typed = [options.benchmark]
    for model in options.model:
        typed += ["--model", provenance.portable(model)]
    typed += ["--data", provenance.portable(options.data), *more]
    if options.out != RESULTS / f"{options.benchmark}.json":
        typed += ["--out", provenance.portable(str(options.out))]
    return {
        "benchmark": options.benchmark,
        "command": provenance.command_line(typed),
        **provenance.git_state(),
        "seed": options.seed,
        "versions": provenance.versions(),
        "bootstrap": {"level": metrics.LEVEL, "resamples": metrics.RESAMPLES, "seed": options.seed},
        "data": outcome.data,
        "rows": outcome.rows,
        "predictions": predictions_file(options.out).name,
        "seconds": outcome.seconds,
    }


def predictions_file(out: Path) -> Path:
    """Where the predictions of every clip lie: beside the results file."""
    return out.with_suffix(".predictions.parquet")


def write(result: dict[str, Any], outcome: Outcome, out: Path) -> None:
    """Write the results file and the predictions beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    outcome.predictions.to_parquet(predictions_file(out), index=False)
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
