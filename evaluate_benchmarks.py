"""Tables of results, each figure with the way it was obtained.

    python evaluate_benchmarks.py ravdess --model checkpoints/mini --data corpus/

prints the table as Markdown and writes a results file (JSON) with the predictions of every
clip (parquet) beside it; ``python -m speech_emotion.evaluation.report`` turns results files into documents.
docs/evaluation.md tells of every benchmark.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import transformers

from speech_emotion import metrics
from speech_emotion.evaluation import (
    EvaluationError,
    ablation,
    adapting,
    calibrating,
    comparing,
    cross_corpus,
    fairness,
    paper_rows,
    provenance,
    ravdess,
    robustness,
)
from speech_emotion.evaluation.classifiers import TEXT_MODES
from speech_emotion.evaluation.clips import PROTOCOLS
from speech_emotion.evaluation.measuring import CACHE, Outcome, Settings
from speech_emotion.evaluation.report import RESULTS, TABLES
from speech_emotion.evaluation.tables import confusion_tables

BENCHMARKS: dict[str, tuple[str, Callable[..., Outcome]]] = {
    "ravdess": ("RAVDESS, seven and eight emotions (paper, Table 9)", ravdess.run),
    "table6": ("the eight classifiers, both protocols (paper, Table 6)", paper_rows.run),
    "table8": ("the whole comparison, both protocols (paper, Table 8)", paper_rows.run),
    "compare": ("two models on the same clips, with paired tests", comparing.run),
    "calibration": ("how far the confidence can be believed", calibrating.run),
    "fairness": ("by gender, corpus, intensity and age", fairness.run),
    "robustness": ("noise, telephone, codecs, clipping, gain, room, speed", robustness.run),
    "ablation": ("audio, text, both; transcripts; cleaning", ablation.run),
    "adaptation": ("fitted to each speaker's recordings, without labels", adapting.run),
    "cross_corpus": ("corpus by corpus, with a prior row each", cross_corpus.run),
}
"""What each is, and who runs it."""

BOTH_PROTOCOLS = ("ravdess", "table6", "table8")
"""Benchmarks that show both protocols, so that none can be chosen."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a wrong one is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="evaluate_benchmarks.py", description="Measure models and write tables of results."
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name, (what, _) in BENCHMARKS.items():
        one = benchmarks.add_parser(name, help=what)
        _add_shared(one, name)
        if name in ("table6", "table8"):
            _add_table(one)
        else:
            _add_scored(one, name)
        if name in ("ravdess", "cross_corpus"):
            one.add_argument(
                "--folds",
                action="append",
                default=[],
                help="folder of train.py --folds, to show beside; may be given several times",
            )
        if name == "robustness":
            one.add_argument(
                "--condition", action="append", default=[], help="this condition; may be repeated"
            )
    return parser.parse_args(arguments)


def _add_shared(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--data", required=True, help="built corpus, Hub data set id, or raw RAVDESS folder"
    )
    parser.add_argument("--limit", type=int, help="score at most this many clips of each set")
    parser.add_argument(
        "--seed", type=int, default=metrics.SEED, help="seed of draws and resampling (42)"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="clips in one pass (8)")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that prepare clips; same figures (0)"
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="where answers are kept (%(default)s)"
    )
    parser.add_argument("--no-cache", action="store_true", help="keep no answers, and use none")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help=f"results/{name}.json"
    )


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder of the trained rows (runs)"
    )
    parser.add_argument(
        "--model", action="append", default=[], help="main model to show beside the rows"
    )
    parser.add_argument(
        "--neural",
        action="store_true",
        help="train the neural rows that are missing; without it they say how to",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        help="results file whose figures stand for rows that are not trained here, if it scored "
        "the same clips",
    )


def _add_scored(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "compare":
        parser.add_argument("models", nargs=2, metavar="MODEL", help="model folder or Hub id")
    else:
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
    if name not in BOTH_PROTOCOLS:
        parser.add_argument(
            "--protocol", default=PROTOCOLS[0], help="configuration of a built corpus (%(default)s)"
        )
        parser.add_argument("--corpus", help="score the clips of this corpus alone")


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
        settings = settings_of(options)
        outcome = run(options, settings)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; answers that are whole are kept", file=sys.stderr)
        return 130
    result = as_result(options, settings, outcome)
    write(result, outcome, options.out)
    print(TABLES[options.benchmark](result))
    if options.benchmark == "ravdess":
        print(f"\n{confusion_tables(result)}")
    print(f"\nWritten: {options.out} and {predictions_file(options.out)}", file=sys.stderr)
    return 0


def settings_of(options: argparse.Namespace) -> Settings:
    """What was asked for, checked.

    Raises:
        EvaluationError: a value that cannot be used.
    """
    given = dict(vars(options))
    kind, more = Settings, {}
    if options.benchmark in ("table6", "table8"):
        kind, more = paper_rows.TableSettings, {"table": options.benchmark}
    given["models"] = given.get("models") or given.get("model")
    if options.no_cache:
        given["cache"] = None
    known = {field.name for field in fields(kind)} & given.keys()
    values = {name: given[name] for name in known}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**values | lists | more)


def run(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Run the benchmark that was asked for."""
    more = {"wanted": options.condition} if options.benchmark == "robustness" else {}
    return BENCHMARKS[options.benchmark][1](settings, **more)


DECIDES_NOTHING = ("models", "data", "table", "workers", "cache")
"""Settings that stand elsewhere in the command, or that no figure depends on."""


def typed(options: argparse.Namespace, settings: Settings) -> list[str]:
    """The command, as it is typed again; defaults are left out."""
    words = [options.benchmark]
    flag = [] if options.benchmark == "compare" else ["--model"]
    for model in settings.models:
        words += [*flag, provenance.portable(model)]
    words += ["--data", provenance.portable(settings.data)]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in DECIDES_NOTHING or value == field.default:
            continue
        name = f"--{field.name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            words += [name] if one is True else [name, provenance.portable(str(one))]
    words += [word for name in getattr(options, "condition", ()) for word in ("--condition", name)]
    if options.out != RESULTS / f"{options.benchmark}.json":
        words += ["--out", provenance.portable(str(options.out))]
    return words


def as_result(options: argparse.Namespace, settings: Settings, outcome: Outcome) -> dict[str, Any]:
    """All that goes into the results file; only ``seconds`` differs between two runs."""
    return {
        "benchmark": options.benchmark,
        "command": provenance.command_line(typed(options, settings)),
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
