"""Command line of the corpus builder: download, build, stats, publish."""

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Slow imports are in the functions that need them: every worker process imports this module.
from corpus_builder import CorpusError
from corpus_builder.command_line import OneLineParser, add_verbosity, reader_gone, verbosity
from corpus_builder.labels import read_label_map
from corpus_builder.sources import SOURCES, Iemocap, Ravdess, Source, TableSource

PROG = "python -m corpus_builder"

TRANSCRIBER = "openai/whisper-base.en"
"""That of a model that names none."""


def main(arguments: list[str] | None = None, *, prog: str = PROG) -> int:
    """Run one command.

    Args:
        arguments: of the command line; those of this process when not given.
        prog: what the user typed before them, for usage lines and messages.

    Returns:
        The exit code: 0; 1 when ``stats`` finds a leak; 2 on bad input; 130 when stopped; 141 when
        the reader of the output has gone.
    """
    name = prog.removeprefix("python -m ")
    try:
        with verbosity(sys.argv[1:] if arguments is None else arguments) as (rest, _):
            options = _parser(prog).parse_args(rest)
            return options.command(options)
    except CorpusError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return reader_gone()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{name}: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        return 130


def _download(arguments: argparse.Namespace) -> int:
    from corpus_builder.download import download

    for name in arguments.corpus:
        print(f"{name}: {download(name, arguments.to, mirror=arguments.mirror)}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from corpus_builder.build import BuildConfig, build
    from corpus_builder.manifest import Manifest
    from corpus_builder.splits import PROTOCOLS
    from corpus_builder.workers import keep_freed_memory
    from hub_model.audio import Cleaning

    keep_freed_memory()
    manifest = Manifest.read(arguments.manifest) if arguments.manifest else None
    where = {
        "out": arguments.out,
        "noise": arguments.noise,
        "strict": arguments.strict,
        "workers": arguments.workers,
        "engine": arguments.engine,
    }
    if manifest:
        config = BuildConfig.from_manifest(manifest, transcriber=arguments.transcriber, **where)
    else:
        config = BuildConfig(
            configs=tuple(name for name in PROTOCOLS if name in (arguments.config or PROTOCOLS)),
            seed=arguments.seed,
            keep_neutral=arguments.keep_neutral,
            labels=_labels(arguments),
            min_duration=arguments.min_duration,
            cleaning=Cleaning(denoise=arguments.denoise, trim=arguments.trim),
            target=arguments.target,
            thin=arguments.thin,
            **_transcripts(arguments),
            **where,
        )
    options: dict[str, dict[str, Any]] = {
        Ravdess.name: {"song": arguments.ravdess_song},
        Iemocap.name: {"excited": arguments.iemocap_excited},
        TableSource.name: {"words": read_label_map(arguments.map)},
    }
    if manifest:
        options = {name: source["options"] for name, source in manifest.report["sources"].items()}
    if config.labels:
        options.setdefault(TableSource.name, {})["labels"] = config.labels
    sources = _sources(arguments.source, options)
    if manifest and set(manifest.report["sources"]) != {source.name for source in sources}:
        raise CorpusError(
            f"--manifest: its corpora are {', '.join(manifest.report['sources'])}; "
            f"name the folder of each with --source"
        )
    build(sources, config)
    return _stats(arguments)


def _stats(arguments: argparse.Namespace) -> int:
    from corpus_builder.audit import audit
    from corpus_builder.figure import class_figure
    from corpus_builder.layout import FIGURE_FILE
    from corpus_builder.paper_tables import ERRATA, combined_counts, compare
    from corpus_builder.publishing import read_report
    from corpus_builder.shards import read_rows
    from corpus_builder.statistics import count_by_corpus, text_table

    report = read_report(arguments.out)
    emotions = report["emotions"]
    leaks = []
    rows_of_paper = None
    for name in report["configs"]:
        splits = read_rows(arguments.out, name)
        for split, rows in splits.items():
            header = [f"{name} {split}", *emotions, "total"]
            print(text_table(header, count_by_corpus(rows, emotions)), end="\n\n")
        findings = [finding for finding in audit(splits, config=name) if finding.count]
        leaks += [finding for finding in findings if finding.is_leak]
        for finding in findings:
            print(f"{'LEAK' if finding.is_leak else 'by design'}: {finding}")
        print()
        if name == "paper":
            rows_of_paper = splits
    for corpus, labels in report["removed_labels"].items():
        counts = ", ".join(f"{label} {count}" for label, count in labels.items())
        print(f"not of the classes, from {corpus}: {sum(labels.values())} ({counts})")
    for corpus, reasons in report["dropped"].items():
        for reason, labels in reasons.items():
            counts = ", ".join(f"{label} {count}" for label, count in labels.items())
            print(f"dropped from {corpus}: {sum(labels.values())} {reason} ({counts})")
    for corpus, words in report.get("word_error_rates", {}).items():
        print(
            f"words of {report['settings']['transcriber']} in {corpus}: error rate "
            f"{words['rate']:.1%} ({words['words']} words, {words['clips']} clips, "
            f"{words['silent']} without a word)"
        )
    if rows_of_paper:
        print("\nThis corpus and the paper's: ours (paper's, difference)")
        for title, header, lines in compare(rows_of_paper, report["kept"]):
            print(f"\n{title}\n{text_table(header, lines)}")
        print(f"\n{ERRATA}")
    figure = arguments.out / FIGURE_FILE
    if not figure.exists():
        figure.write_bytes(class_figure(combined_counts(report)))
    print(f"\nFigure 2: {figure}")
    if leaks:
        print(f"{arguments.out}: the corpus holds a leak, see above", file=sys.stderr)
    return 1 if leaks else 0


def _publish(arguments: argparse.Namespace) -> int:
    from corpus_builder.publishing import publish

    url = publish(
        arguments.out,
        repo=arguments.repo,
        private=arguments.private,
        have_rights=arguments.i_have_the_rights,
        manifest_only=arguments.manifest_only,
    )
    print(url)
    return 0


def _sources(named: list[str], options: dict[str, dict[str, Any]]) -> list[Source]:
    sources: dict[str, Source] = {}
    for argument in named:
        name, separator, folder = argument.partition("=")
        if not separator or name not in SOURCES or not folder:
            raise CorpusError(
                f"--source {argument}: expected NAME=DIR with NAME one of {', '.join(SOURCES)}"
            )
        if name in sources:
            raise CorpusError(f"--source {name} is given twice; name a folder that holds both")
        sources[name] = SOURCES[name](Path(folder), **options.get(name, {}))
    return list(sources.values())


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=prog, description="Build a labelled speech-emotion data set from raw corpora."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> Any:
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        command.set_defaults(command=run)
        add_verbosity(command)
        return command

    download = add("download", _download, "download the corpora that are open to all")
    download.add_argument(
        "corpus",
        nargs="+",
        metavar="CORPUS",
        choices=["ravdess", "tess", "crema_d", "nemo"],
        help="ravdess, tess, crema_d or nemo",
    )
    download.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="a folder per corpus is made in DIR"
    )
    download.add_argument(
        "--mirror", metavar="URL", help="download from this host instead of the corpora's own"
    )

    build = add("build", _build, "build the data set from raw corpora")
    build.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help=f"a corpus and its folder, once per corpus; NAME is one of {', '.join(SOURCES)}; csv "
        "takes a table with the columns path, emotion and speaker",
    )
    build.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the data set"
    )
    build.add_argument(
        "--config",
        action="append",
        choices=["speaker_disjoint", "paper", "natural"],
        help="configuration to write, may be repeated (default: all)",
    )
    build.add_argument(
        "--manifest",
        metavar="DIR_OR_ID",
        help="rebuild the corpus that this manifest describes, with its settings",
    )
    build.add_argument(
        "--seed", type=_seed, default=42, help="decides splits and copies (default: %(default)s)"
    )
    build.add_argument(
        "--workers",
        type=_positive,
        default=os.cpu_count(),
        metavar="N",
        help="number of processes (default: one per core)",
    )
    build.add_argument(
        "--engine",
        choices=["processes", "ray"],
        default="processes",
        help="run on processes of this machine or on a Ray cluster (default: %(default)s)",
    )
    build.add_argument(
        "--keep-neutral", action="store_true", help="keep neutral as an eighth class"
    )
    build.add_argument(
        "--labels",
        metavar="LABEL,LABEL",
        help="classes of the data set, in the order of their ids, for your own set of labels "
        "(default: the seven emotions of the paper)",
    )
    build.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="WORD=LABEL",
        help="what a word in the column emotion of a csv source means, such as Frustrated=angry; "
        "WORD= leaves its clips out; may be repeated",
    )
    build.add_argument("--ravdess-song", action="store_true", help="read sung clips as well")
    build.add_argument(
        "--iemocap-excited",
        action="store_true",
        help="read excited (exc) as happy (default: exc is dropped)",
    )
    build.add_argument(
        "--target",
        type=_positive,
        metavar="N",
        help="training clips per class (default: the paper's 2,000, but at most as many as the "
        "largest class has)",
    )
    build.add_argument(
        "--thin",
        choices=["largest", "even"],
        help="how a class that is too large loses training clips: those of its largest corpus "
        "first, as in the paper, or evenly from its larger ones (default: largest in the "
        "configuration paper, even in the others)",
    )
    build.add_argument(
        "--noise",
        type=Path,
        metavar="DIR",
        help="noise recordings for augmentation (default: generated noise)",
    )
    build.add_argument(
        "--transcripts",
        choices=["known", "whisper", "both"],
        help="columns of text: transcript, which is the corpus's own; whisper_transcript, which a "
        "transcriber recognises in the recordings; or both (default: known, with --transcriber "
        "both)",
    )
    build.add_argument(
        "--transcriber",
        metavar="NAME",
        help="transcribes the recordings: openai-whisper:base.en, faster-whisper:base.en, or a "
        f"transformers id or folder (default, when needed: {TRANSCRIBER})",
    )
    build.add_argument("--strict", action="store_true", help="stop at a file that cannot be used")
    build.add_argument(
        "--min-duration",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="drop clips that are shorter after cleaning (default: %(default)s)",
    )
    build.add_argument(
        "--no-denoise", dest="denoise", action="store_false", help="skip noise reduction"
    )
    build.add_argument(
        "--no-trim", dest="trim", action="store_false", help="skip the removal of silence"
    )

    stats = add("stats", _stats, "count a built data set and audit it for leaks")
    stats.add_argument("out", type=Path, metavar="DIR", help="folder of the data set")

    publish = add("publish", _publish, "push a built data set to the Hub")
    publish.add_argument("out", type=Path, metavar="DIR", help="folder of the data set")
    publish.add_argument(
        "--repo", required=True, metavar="ID", help="you/name; made when it does not exist"
    )
    publish.add_argument("--private", action="store_true", help="push to a private repo only")
    publish.add_argument(
        "--i-have-the-rights",
        action="store_true",
        help="you may store audio in this private repo that must not be shared",
    )
    publish.add_argument(
        "--manifest-only",
        action="store_true",
        help="push ids, labels, splits and hashes without audio, for build --manifest",
    )
    return parser


def _labels(arguments: argparse.Namespace) -> tuple[str, ...]:
    labels = [label.strip() for label in (arguments.labels or "").split(",")]
    if labels == [""]:
        return ()
    if arguments.keep_neutral:
        raise CorpusError(
            "--labels and --keep-neutral exclude each other; name neutral in --labels"
        )
    if len(labels) < 2 or len({label.casefold() for label in labels} - {""}) < len(labels):
        raise CorpusError(f"--labels {arguments.labels}: expected two or more different labels")
    return tuple(labels)


def _transcripts(arguments: argparse.Namespace) -> dict[str, Any]:
    transcriber = arguments.transcriber
    kind = arguments.transcripts or ("known" if transcriber in (None, "none") else "both")
    return {
        "transcripts": kind,
        "transcriber": TRANSCRIBER if kind != "known" and transcriber is None else transcriber,
    }


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError("must be 0 to 2**32 - 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
