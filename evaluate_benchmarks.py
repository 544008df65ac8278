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
from evaluation import EvaluationError, provenance, ravdess
from evaluation.models import TEXT_MODES
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
    try:
        config = ravdess.RavdessConfig(
            models=tuple(options.model),
            data=options.data,
            split=options.split,
            text=options.text,
            limit=options.limit,
            batch_size=options.batch_size,
            seed=options.seed,
        )
        outcome = ravdess.run(config)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    result = as_result(config, outcome, out=options.out)
    write(result, outcome, options.out)
    print(ravdess_table(result), confusion_tables(result), sep="\n\n")
    print(f"\nWritten: {options.out} and {predictions_file(options.out)}", file=sys.stderr)
    return 0


def as_result(
    config: ravdess.RavdessConfig, outcome: ravdess.Outcome, *, out: Path
) -> dict[str, Any]:
    """All that goes into the results file; only ``seconds`` differs between two runs."""
    typed = ["ravdess"]
    for model in config.models:
        typed += ["--model", provenance.portable(model)]
    typed += ["--data", provenance.portable(config.data)]
    defaults = ravdess.RavdessConfig(models=(), data="")
    for name in ("split", "text", "limit", "batch_size", "seed"):
        if getattr(config, name) != getattr(defaults, name):
            typed += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    if out != RESULTS / "ravdess.json":
        typed += ["--out", provenance.portable(str(out))]
    return {
        "benchmark": "ravdess",
        "command": provenance.command_line(typed),
        **provenance.git_state(),
        "seed": config.seed,
        "versions": provenance.versions(),
        "bootstrap": {"level": metrics.LEVEL, "resamples": metrics.RESAMPLES, "seed": config.seed},
        "data": outcome.data,
        "rows": outcome.rows,
        "predictions": predictions_file(out).name,
        "seconds": outcome.seconds,
    }


def predictions_file(out: Path) -> Path:
    """Where the predictions of every clip lie: beside the results file."""
    return out.with_suffix(".predictions.parquet")


def write(result: dict[str, Any], outcome: ravdess.Outcome, out: Path) -> None:
    """Write the results file and the predictions beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    outcome.predictions.to_parquet(predictions_file(out), index=False)
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
