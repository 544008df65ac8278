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
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import datasets
import huggingface_hub
import transformers

from corpus_builder.command_line import OneLineParser, reader_gone
from speech_emotion import metrics
from speech_emotion.evaluation import (
    EvaluationError,
    ablation,
    adaptation,
    calibration,
    comments,
    comparison,
    conversation,
    cross_corpus,
    fairness,
    own_corpus,
    paper_baselines,
    provenance,
    ravdess,
    robustness,
)
from speech_emotion.evaluation.benchmark import RESULTS, Outcome, Settings
from speech_emotion.evaluation.classifiers import TEXT_MODES
from speech_emotion.evaluation.tables import confusion_tables


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the command line.

    Attributes:
        title: heading of its table in documents.
        module: its ``run`` takes the settings and measures; its ``table`` writes the content of a
            results file as Markdown.
        without: settings that are no options of it.
    """

    title: str
    module: Any
    without: tuple[str, ...] = ("folds",)

    @property
    def settings(self) -> type[Settings]:
        """The class of its settings."""
        return get_type_hints(self.module.run)["settings"]


_ONE_PROTOCOL = ("protocol", "corpus")
_IN_TABLES = (*_ONE_PROTOCOL, "split", "text", "folds")
BENCHMARKS = {
    "corpus": Benchmark("A labelled corpus", own_corpus),
    "ravdess": Benchmark("RAVDESS (paper, Table 9)", ravdess, _ONE_PROTOCOL),
    "table6": Benchmark(
        "Classifiers on the 94 features (paper, Table 6)", paper_baselines, _IN_TABLES
    ),
    "table8": Benchmark("Architectures (paper, Table 8)", paper_baselines, _IN_TABLES),
    "compare": Benchmark("Two models side by side", comparison),
    "calibration": Benchmark("Calibration", calibration),
    "fairness": Benchmark("Groups of speakers and clips", fairness),
    "robustness": Benchmark("Noise, telephone, codecs, reverberation and speed", robustness),
    "ablation": Benchmark("Ablation", ablation),
    "adaptation": Benchmark("Adaptation to recordings without labels", adaptation),
    "conversation": Benchmark(
        "Conversations: speakers and emotions over time",
        conversation,
        ("cache", "folds", "limit", "text", "workers"),
    ),
    "cross_corpus": Benchmark("Corpus by corpus", cross_corpus, ()),
    "comments": Benchmark(
        "Text without audio: GoEmotions",
        comments,
        (*_IN_TABLES, "batch_size", "cache", "limit", "workers"),
    ),
}
"""Every benchmark by its name on the command line."""


def build_parser(prog: str = "evaluate_benchmarks.py") -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = OneLineParser(prog=prog, description="Measure models and write tables of results.")
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, benchmark in BENCHMARKS.items():
        about = benchmark.module.run.__doc__.partition("\n\n")[0]
        one = benchmarks.add_parser(name, help=benchmark.title, description=about)
        for setting in fields(benchmark.settings):
            if setting.metadata and setting.name not in benchmark.without:
                _add(one, name, setting)
        one.add_argument(
            "--no-cache", action="store_true", help="neither read nor write cached predictions"
        )
        one.add_argument(
            "--out", type=Path, default=RESULTS / f"{name}.json", help="results file (%(default)s)"
        )
    return parser


def _add(parser: argparse.ArgumentParser, benchmark: str, setting: Field) -> None:
    """Add the option of a setting."""
    about, kind, default = setting.metadata["help"], str(setting.type), setting.default
    if (benchmark, setting.name) == ("compare", "models"):
        parser.add_argument("models", nargs=2, metavar="MODEL", help=about)
        return
    more: dict[str, Any] = {"dest": setting.name, "default": default}
    more["required"] = setting.name == "data" or (
        setting.name == "models" and BENCHMARKS[benchmark].module is not paper_baselines
    )
    if default is False:
        more["action"] = "store_true"
    elif default == ():
        about += "; may be repeated"
        more |= {"action": "append", "default": [], "metavar": setting.name.upper().rstrip("S")}
    else:
        more["type"] = Path if "Path" in kind else int if "int" in kind else str
        about += "" if default in (None, "") else " (%(default)s)"
    if setting.name == "text":
        more["choices"] = TEXT_MODES
    parser.add_argument(_flag(setting), help=about, **more)


def _flag(setting: Field) -> str:
    return "--model" if setting.name == "models" else f"--{setting.name.replace('_', '-')}"


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
    benchmark = BENCHMARKS[options.benchmark]
    try:
        settings = settings_of(options)
        outcome = benchmark.module.run(settings)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished predictions are cached", file=sys.stderr)
        return 130
    content = results_file(options, settings, outcome)
    write(content, outcome, options.out)
    try:
        print(benchmark.module.table(content), flush=True)
        if options.benchmark == "ravdess":
            print(f"\n{confusion_tables(content)}", flush=True)
    except BrokenPipeError:
        return reader_gone()
    print(f"\nwritten: {options.out} and {predictions_file(options.out)}", file=sys.stderr)
    return 0


def settings_of(options: argparse.Namespace) -> Settings:
    """The checked settings of a command line.

    Raises:
        EvaluationError: a value that cannot be used.
    """
    kind = BENCHMARKS[options.benchmark].settings
    given = dict(vars(options)) | {"table": options.benchmark}
    if options.no_cache:
        given["cache"] = None
    values = {one.name: given[one.name] for one in fields(kind) if one.name in given}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**values | lists)


NOT_RECORDED = ("models", "data", "table", "workers", "cache")
"""Settings that are recorded elsewhere in the command, or that change no figure."""


def command_of(options: argparse.Namespace, settings: Settings) -> list[str]:
    """The arguments that repeat a run; defaults are left out."""
    words = [options.benchmark]
    flag = [] if options.benchmark == "compare" else ["--model"]
    for model in settings.models:
        words += [*flag, provenance.portable(model)]
    words += ["--data", provenance.portable(settings.data)]
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.name not in NOT_RECORDED and value != one.default:
            for item in value if isinstance(value, tuple) else (value,):
                text = [] if item is True else [provenance.portable(str(item))]
                words += [_flag(one), *text]
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
