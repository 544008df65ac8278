"""The command line of the benchmarks: ``evaluate_benchmarks.py`` and ``speech-emotion evaluate``.

    python evaluate_benchmarks.py ravdess --model checkpoints/mini --data corpus/

prints the table as Markdown and writes a results file (JSON), with the predictions of every clip
(parquet) beside it; ``python -m speech_emotion.evaluation.report`` writes documents from results
files. docs/evaluation.md describes every benchmark.
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

from corpus_builder.command_line import OneLineParser
from speech_emotion import metrics
from speech_emotion.evaluation import (
    EvaluationError,
    ablation,
    adaptation,
    calibration,
    comparison,
    cross_corpus,
    fairness,
    own_corpus,
    paper_baselines,
    provenance,
    ravdess,
    robustness,
)
from speech_emotion.evaluation.benchmark import CACHE, Outcome, Settings
from speech_emotion.evaluation.classifiers import TEXT_MODES
from speech_emotion.evaluation.clips import PROTOCOLS
from speech_emotion.evaluation.ravdess_tables import confusion_tables
from speech_emotion.evaluation.report import RESULTS, TABLES

BENCHMARKS: dict[str, tuple[str, Callable[..., Outcome]]] = {
    "corpus": ("any labelled recordings of your own", own_corpus.run),
    "ravdess": ("RAVDESS, seven and eight emotions (paper, Table 9)", ravdess.run),
    "table6": ("the eight classifiers, both protocols (paper, Table 6)", paper_baselines.run),
    "table8": ("the architectures, both protocols (paper, Table 8)", paper_baselines.run),
    "compare": ("two models on the same clips, with paired tests", comparison.run),
    "calibration": ("reliability, calibration error, accuracy at coverage", calibration.run),
    "fairness": ("scores by gender, corpus, intensity and age", fairness.run),
    "robustness": ("noise, telephone, codecs, clipping, gain, room, speed", robustness.run),
    "ablation": ("audio-only, text-only, fused; transcripts; cleaning", ablation.run),
    "adaptation": ("adaptation to each speaker's unlabelled recordings", adaptation.run),
    "cross_corpus": ("scores corpus by corpus, beside the prior", cross_corpus.run),
}
"""Description and function of each benchmark."""

BOTH_PROTOCOLS = ("ravdess", "table6", "table8")
"""Benchmarks that always show both protocols."""


def build_parser(prog: str = "evaluate_benchmarks.py") -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = OneLineParser(prog=prog, description="Measure models and write tables of results.")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, (description, _) in BENCHMARKS.items():
        one = benchmarks.add_parser(name, help=description, description=description)
        _add_shared(one, name)
        if name in ("table6", "table8"):
            _add_table(one)
        else:
            _add_scored(one, name)
        if name == "corpus":
            one.add_argument(
                "--map",
                action="append",
                default=[],
                metavar="WORD=LABEL",
                help="a word of the data or of a model means this label; without a label, clips "
                "with the word are left out; may be repeated",
            )
        if name in ("ravdess", "cross_corpus"):
            one.add_argument(
                "--folds",
                action="append",
                default=[],
                help="folder of train.py --folds, to show as well; may be repeated",
            )
        if name == "robustness":
            one.add_argument(
                "--condition",
                action="append",
                default=[],
                help="only this condition; may be repeated (all)",
            )
    return parser


def _add_shared(parser: argparse.ArgumentParser, name: str) -> None:
    data = "built corpus, Hub data set id, or raw RAVDESS folder"
    if name == "corpus":
        data = (
            "table with the columns path, emotion and, if known, speaker and transcript; built "
            "corpus; or a folder or Hub id of any data set with audio and labels"
        )
    parser.add_argument("--data", required=True, help=data)
    parser.add_argument(
        "--limit", type=int, help="score at most this many clips of each set, drawn at random (all)"
    )
    parser.add_argument(
        "--seed", type=int, default=metrics.SEED, help="seed of draws and resampling (%(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="clips in one forward pass (%(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="processes that decode and clean clips; the figures stay the same (%(default)s)",
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder of cached predictions (%(default)s)"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="neither read nor write cached predictions"
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the Python code of a model that this package does not know; only for models of "
        "people you trust",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help="results file (%(default)s)"
    )


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="folder of the trained baselines (%(default)s)",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="model folder or Hub id to show beside the baselines; may be repeated",
    )
    parser.add_argument(
        "--neural",
        action="store_true",
        help="train missing neural baselines; without it the table shows their commands",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        help="results file whose figures are kept for baselines that are not trained here, if it "
        "scored the same clips",
    )


def _add_scored(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "compare":
        parser.add_argument("models", nargs=2, metavar="MODEL", help="model folder or Hub id")
    else:
        parser.add_argument(
            "--model",
            action="append",
            required=True,
            help="model folder or Hub id, or the folder of a baseline; may be repeated",
        )
    parser.add_argument("--split", default="test", help="split of a built corpus (%(default)s)")
    parser.add_argument(
        "--text",
        choices=TEXT_MODES,
        default="corpus",
        help="transcripts: of the corpus, none, or by the model's transcriber (%(default)s)",
    )
    if name not in BOTH_PROTOCOLS:
        parser.add_argument(
            "--protocol", default=PROTOCOLS[0], help="configuration of a built corpus (%(default)s)"
        )
        parser.add_argument("--corpus", help="score only the clips of this corpus (all)")


def main(arguments: Sequence[str] | None = None, *, prog: str = "evaluate_benchmarks.py") -> int:
    """Run one benchmark.

    Args:
        arguments: those of the command line when None.
        prog: name of the command in ``--help``.

    Returns:
        the exit code; a wrong argument, model or data is one line and 2.
    """
    options = build_parser(prog).parse_args(arguments)
    # Errors are printed as one line below; the libraries' own messages would repeat them.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    try:
        settings = settings_of(options)
        more = {"wanted": options.condition} if options.benchmark == "robustness" else {}
        outcome = BENCHMARKS[options.benchmark][1](settings, **more)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished predictions are cached", file=sys.stderr)
        return 130
    content = results_file(options, settings, outcome)
    write(content, outcome, options.out)
    print(TABLES[options.benchmark][1](content))
    if options.benchmark == "ravdess":
        print(f"\n{confusion_tables(content)}")
    print(f"\nwritten: {options.out} and {predictions_file(options.out)}", file=sys.stderr)
    return 0


def settings_of(options: argparse.Namespace) -> Settings:
    """The checked settings of a command line.

    Raises:
        EvaluationError: a value that cannot be used.
    """
    given = dict(vars(options))
    kind: type[Settings] = Settings
    more: dict[str, Any] = {}
    if options.benchmark in ("table6", "table8"):
        kind, more = paper_baselines.TableSettings, {"table": options.benchmark}
    elif options.benchmark == "corpus":
        kind = own_corpus.CorpusSettings
    given["models"] = given.get("models") or given.get("model")
    if options.no_cache:
        given["cache"] = None
    known = {field.name for field in fields(kind)} & given.keys()
    values = {name: given[name] for name in known}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**values | lists | more)


NOT_RECORDED = ("models", "data", "table", "workers", "cache")
"""Settings that are recorded elsewhere in the command, or that change no figure."""


def command_of(options: argparse.Namespace, settings: Settings) -> list[str]:
    """The arguments that repeat a run; defaults are left out."""
    words = [options.benchmark]
    flag = [] if options.benchmark == "compare" else ["--model"]
    for model in settings.models:
        words += [*flag, provenance.portable(model)]
    words += ["--data", provenance.portable(settings.data)]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in NOT_RECORDED or value == field.default:
            continue
        name = f"--{field.name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            words += [name] if one is True else [name, provenance.portable(str(one))]
    words += [word for name in getattr(options, "condition", ()) for word in ("--condition", name)]
    if options.out != RESULTS / f"{options.benchmark}.json":
        words += ["--out", provenance.portable(str(options.out))]
    return words


def results_file(
    options: argparse.Namespace, settings: Settings, outcome: Outcome
) -> dict[str, Any]:
    """The content of the results file; only ``seconds`` differs between two runs."""
    return {
        "benchmark": options.benchmark,
        "command": provenance.command_line(command_of(options, settings)),
        **provenance.git_state(),
        "seed": options.seed,
        "versions": provenance.versions(),
        "bootstrap": {"level": metrics.LEVEL, "resamples": metrics.RESAMPLES, "seed": options.seed},
        "data": outcome.data,
        # The key keeps its name, so that documents can be written from older files too.
        "rows": outcome.results,
        "predictions": predictions_file(options.out).name,
        "seconds": outcome.seconds,
    }


def predictions_file(out: Path) -> Path:
    """The file with the predictions of every clip, beside the results file."""
    return out.with_suffix(".predictions.parquet")


def write(content: dict[str, Any], outcome: Outcome, out: Path) -> None:
    """Write the results file, and the predictions beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    outcome.all_predictions().to_parquet(predictions_file(out), index=False)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")
