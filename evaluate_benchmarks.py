"""Tables of results, each figure with the way it was obtained.

    python evaluate_benchmarks.py ravdess --model checkpoints/mini --data corpus/

prints the table as Markdown and writes a results file (JSON) with the predictions of every
clip (parquet) beside it; ``python -m evaluation.report`` turns results files into documents.
docs/evaluation.md tells of every benchmark.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import transformers

import metrics
from evaluation import (
    EvaluationError,
    ablation,
    calibrating,
    comparing,
    cross_corpus,
    fairness,
    paper_rows,
    provenance,
    ravdess,
    robustness,
)
from evaluation.clips import PROTOCOLS
from evaluation.measuring import CACHE, Outcome, Settings
from evaluation.models import TEXT_MODES
from evaluation.report import RESULTS, TABLES
from evaluation.tables import confusion_tables

DETAILED: dict[str, tuple[str, Callable[[Settings], Outcome]]] = {
    "compare": ("two models on the same clips, with paired tests", comparing.run),
    "calibration": ("how far the confidence can be believed", calibrating.run),
    "fairness": ("by gender, corpus, intensity and age", fairness.run),
    "robustness": ("noise, telephone, codecs, clipping, gain, room, speed", robustness.run),
    "ablation": ("audio, text, both; transcripts; cleaning", ablation.run),
    "cross_corpus": ("corpus by corpus, with a prior row each", cross_corpus.run),
}
"""Benchmarks of one test set: what each is, and who runs it."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong one is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="evaluate_benchmarks.py", description="Measure models and write tables of results."
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    one = benchmarks.add_parser("ravdess", help="RAVDESS, seven emotions (paper, Table 9)")
    _add_shared(one, "ravdess")
    _add_models(one)
    one.add_argument(
        "--folds", action="append", default=[], help="folder of train.py --folds, to show beside"
    )
    for name, what in (("table6", "the eight classifiers"), ("table8", "the whole comparison")):
        table = benchmarks.add_parser(name, help=f"paper, Table {name[-1]}: {what}, both protocols")
        _add_shared(table, name)
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
    for name, (what, _) in DETAILED.items():
        detailed = benchmarks.add_parser(name, help=what)
        _add_shared(detailed, name)
        _add_detailed(detailed, name)
    return parser.parse_args(arguments)


def _add_shared(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--data", required=True, help="built corpus, Hub data set id, or raw RAVDESS folder"
    )
    parser.add_argument("--limit", type=int, help="score at most this many clips of each set")
    parser.add_argument(
        "--seed", type=int, default=metrics.SEED, help="seed of draws and resampling (42)"
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help=f"results/{name}.json"
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        help="model folder or Hub id, or the folder of a baseline; may be given several times",
    )
    parser.add_argument("--split", default="test", help="split of a built corpus (test)")
    parser.add_argument(
        "--text",
        choices=TEXT_MODES,
        default="corpus",
        help="the corpus's transcript, none, or the model's transcriber (corpus)",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="clips in one pass (8)")


def _add_detailed(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "compare":
        parser.add_argument("models", nargs=2, metavar="MODEL", help="model folder or Hub id")
        parser.add_argument("--split", default="test", help="split of a built corpus (test)")
        parser.add_argument("--text", choices=TEXT_MODES, default="corpus")
        parser.add_argument("--batch-size", type=int, default=8, help="clips in one pass (8)")
    else:
        _add_models(parser)
    parser.add_argument(
        "--protocol", default=PROTOCOLS[0], help="configuration of a built corpus (%(default)s)"
    )
    parser.add_argument("--corpus", help="score the clips of this corpus alone")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that prepare clips; same figures (0)"
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="where answers are kept (%(default)s)"
    )
    parser.add_argument("--no-cache", action="store_true", help="keep no answers, and use none")
    if name == "robustness":
        parser.add_argument(
            "--condition", action="append", default=[], help="this condition; may be repeated"
        )
    if name == "cross_corpus":
        parser.add_argument(
            "--folds", action="append", default=[], help="folder of train.py --folds"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit code."""
    options = parse_arguments(arguments)
    # What goes wrong is said in one line at the end; the libraries need not say it as well.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    run = {"ravdess": run_ravdess, "table6": run_table, "table8": run_table}
    try:
        typed, outcome = run.get(options.benchmark, run_detailed)(options)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; answers that are whole are kept", file=sys.stderr)
        return 130
    result = as_result(options, typed, outcome)
    write(result, outcome, options.out)
    print(TABLES[options.benchmark](result))
    if options.benchmark == "ravdess":
        print(f"\n{confusion_tables(result)}")
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
        folds=tuple(options.folds),
        seed=options.seed,
    )
    names = ("split", "text", "limit", "batch_size", "folds", "seed")
    return _typed(config, ravdess.RavdessConfig(models=(), data=""), names), ravdess.run(config)


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
    typed += _typed(config, defaults, ("runs", "limit", "seed"))
    return typed, paper_rows.run(config)


def run_detailed(options: argparse.Namespace) -> tuple[list[str], Outcome]:
    """Run a benchmark of one test set; returns what was typed, less the defaults, and it."""
    models = options.models if options.benchmark == "compare" else options.model
    settings = Settings(
        models=tuple(models),
        data=options.data,
        protocol=options.protocol,
        split=options.split,
        corpus=options.corpus,
        text=options.text,
        limit=options.limit,
        batch_size=options.batch_size,
        workers=options.workers,
        folds=tuple(getattr(options, "folds", ())),
        cache=None if options.no_cache else options.cache,
        seed=options.seed,
    )
    # Not the cache and the workers: they decide nothing.
    names = ("protocol", "split", "corpus", "text", "limit", "batch_size", "folds", "seed")
    typed = _typed(settings, Settings(), names)
    if options.benchmark == "robustness":
        typed += [word for name in options.condition for word in ("--condition", name)]
        return typed, robustness.run(settings, wanted=options.condition)
    return typed, DETAILED[options.benchmark][1](settings)


def _typed(config: Any, defaults: Any, names: Sequence[str]) -> list[str]:
    """The options that differ from the defaults, as they are typed."""
    typed = []
    for name in names:
        value = getattr(config, name)
        if value != getattr(defaults, name):
            for one in value if isinstance(value, tuple) else (value,):
                typed += [f"--{name.replace('_', '-')}", provenance.portable(str(one))]
    return typed


def as_result(options: argparse.Namespace, more: list[str], outcome: Outcome) -> dict[str, Any]:
    """All that goes into the results file; only ``seconds`` differs between two runs."""
    typed = [options.benchmark]
    typed += [provenance.portable(model) for model in getattr(options, "models", ())]
    for model in getattr(options, "model", ()):
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
