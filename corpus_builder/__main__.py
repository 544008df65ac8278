"""Command line: ``python -m corpus_builder download | build | stats | publish``."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any

# What is slow to import is imported where it is used: every worker process reads this file.
from corpus_builder import CorpusError
from corpus_builder.sources import SOURCES, Iemocap, Ravdess, Source


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 1 when ``stats`` finds a leak; 2 on bad input; 130 when stopped.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except CorpusError as error:
        print(f"corpus_builder: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"corpus_builder: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
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
        "transcriber": arguments.transcriber,
        "workers": arguments.workers,
        "engine": arguments.engine,
    }
    if manifest:
        config = BuildConfig.from_manifest(manifest, **where)
    else:
        config = BuildConfig(
            configs=tuple(name for name in PROTOCOLS if name in (arguments.config or PROTOCOLS)),
            seed=arguments.seed,
            keep_neutral=arguments.keep_neutral,
            min_duration=arguments.min_duration,
            cleaning=Cleaning(denoise=arguments.denoise, trim=arguments.trim),
            target=arguments.target,
            **where,
        )
    options = {
        Ravdess.name: {"song": arguments.ravdess_song},
        Iemocap.name: {"excited": arguments.iemocap_excited},
    }
    if manifest:
        options = {name: source["options"] for name, source in manifest.report["sources"].items()}
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
    from corpus_builder.paper_tables import SLIPS, combined_counts, compare
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
    for corpus, reasons in report["dropped"].items():
        for reason, labels in reasons.items():
            counts = ", ".join(f"{label} {count}" for label, count in labels.items())
            print(f"dropped from {corpus}: {sum(labels.values())} {reason} ({counts})")
    if rows_of_paper:
        print("\nThis corpus beside the paper's: ours (paper's, difference)")
        for title, header, lines in compare(rows_of_paper, report["kept"]):
            print(f"\n{title}\n{text_table(header, lines)}")
        print(f"\n{SLIPS}")
    figure = arguments.out / FIGURE_FILE
    if not figure.exists():
        figure.write_bytes(class_figure(combined_counts(report)))
    print(f"\nFigure 2: {figure}")
    if leaks:
        print("corpus_builder: the corpus holds a leak, see above", file=sys.stderr)
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
            raise CorpusError(f"--source {name} is given twice; name the folder above both")
        sources[name] = SOURCES[name](Path(folder), **options.get(name, {}))
    return list(sources.values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m corpus_builder", description=__doc__)
    commands = parser.add_subparsers(required=True)

    download = commands.add_parser("download", help="download the corpora that are open")
    download.add_argument("corpus", nargs="+", choices=["ravdess", "tess", "crema_d"])
    download.add_argument("--to", type=Path, required=True, metavar="DIR")
    download.add_argument("--mirror", metavar="URL", help="ask this host in place of all others")
    download.set_defaults(command=_download)

    build = commands.add_parser("build", help="build the data set from raw corpora")
    build.add_argument("--source", action="append", required=True, metavar="NAME=DIR")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument(
        "--config",
        action="append",
        choices=["speaker_disjoint", "paper", "natural"],
        help="configuration to write, may be repeated; all when not given",
    )
    build.add_argument(
        "--manifest",
        metavar="DIR_OR_ID",
        help="build the corpus that a manifest describes; it also decides all other settings",
    )
    build.add_argument("--seed", type=_seed, default=42)
    build.add_argument("--workers", type=_positive, default=os.cpu_count(), help="processes")
    build.add_argument(
        "--engine",
        choices=["processes", "ray"],
        default="processes",
        help="who does the work: processes of this machine, or a Ray cluster",
    )
    build.add_argument("--keep-neutral", action="store_true", help="neutral as an eighth class")
    build.add_argument("--ravdess-song", action="store_true", help="read sung clips as well")
    build.add_argument(
        "--iemocap-excited", action="store_true", help="read exc as happy; dropped when not given"
    )
    build.add_argument(
        "--target",
        type=_positive,
        metavar="N",
        help="training clips per class; when not given the paper's 2,000, but at most as many as "
        "the largest class has",
    )
    build.add_argument(
        "--noise", type=Path, metavar="DIR", help="noise recordings; generated when not given"
    )
    build.add_argument(
        "--transcriber",
        metavar="NAME",
        help="hear missing transcripts: openai-whisper:base.en, or any transformers id or folder",
    )
    build.add_argument("--strict", action="store_true", help="a file that is no use is an error")
    build.add_argument("--min-duration", type=_seconds, default=1.0, metavar="SECONDS")
    build.add_argument("--no-denoise", dest="denoise", action="store_false")
    build.add_argument("--no-trim", dest="trim", action="store_false")
    build.set_defaults(command=_build)

    stats = commands.add_parser("stats", help="count a built data set and audit it for leaks")
    stats.add_argument("out", type=Path, metavar="DIR")
    stats.set_defaults(command=_stats)

    publish = commands.add_parser("publish", help="push a built data set to the Hub")
    publish.add_argument("out", type=Path, metavar="DIR")
    publish.add_argument("--repo", required=True, metavar="ID")
    publish.add_argument("--private", action="store_true")
    publish.add_argument(
        "--i-have-the-rights",
        action="store_true",
        help="you have the right to store audio there that may not be shared",
    )
    publish.add_argument(
        "--manifest-only",
        action="store_true",
        help="push ids, labels, splits and hashes, from which build --manifest builds it again",
    )
    publish.set_defaults(command=_publish)
    return parser


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
