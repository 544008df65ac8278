"""Write documents from results files: ``python -m speech_emotion.evaluation.report [--check]``.

Writes docs/results.md and docs/benchmarks.md, and in the README, in model cards and in some
documents every block between ``<!-- results:NAME -->`` and ``<!-- /results:NAME -->``. NAME is a
results file's name without its ending, for RAVDESS also with ``-summary`` or ``-confusion``, for
Table 6 with ``-grid``. Figures are drawn into docs/images, and model cards get their
``model-index``.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark_tables import BENCHMARKS, benchmarks_document
from speech_emotion.evaluation.figures import figures_of, is_current, png_of
from speech_emotion.evaluation.folds import mini_folds_table
from speech_emotion.evaluation.paper_tables import grid_sentence
from speech_emotion.evaluation.ravdess import ravdess_summary
from speech_emotion.evaluation.run import BENCHMARKS as MEASURED
from speech_emotion.evaluation.run import RESULTS
from speech_emotion.evaluation.tables import ResultsFile, confusion_tables, speaker_tables
from speech_emotion.training.model_card import weights_hash, with_results

DOCUMENT = Path("docs/results.md")
BENCHMARK_RESULTS = Path("benchmarks/results")
BENCHMARK_DOCUMENT = Path("docs/benchmarks.md")
WITH_BLOCKS = tuple(
    map(Path, ("README.md", "checkpoints/mini/README.md", "docs/training.md", "docs/baselines.md"))
)
BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)
TABLES: dict[str, tuple[str, Callable[[ResultsFile], str]]] = {
    **{name: (one.title, one.module.table) for name, one in MEASURED.items()},
    "mini_folds": (
        "The recipe of `checkpoints/mini`, cross-validated over actors",
        mini_folds_table,
    ),
}
"""Title and table of each kind of results file."""

IMAGES = Path("docs/images")


def read_results(root: Path) -> dict[str, ResultsFile]:
    """Every results file below ``root/results``, by name without ending, in name order.

    Raises:
        EvaluationError: there is none, or one is not a results file of a known benchmark.
    """
    results: dict[str, ResultsFile] = {}
    for file in sorted((root / RESULTS).glob("*.json")):
        result = _json(root, RESULTS / file.name)
        if not isinstance(result, dict) or result.get("benchmark") not in TABLES:
            raise EvaluationError(f"{RESULTS / file.name}: not the results of a known benchmark")
        results[file.stem] = result
    if not results:
        raise EvaluationError(f"no results in {RESULTS}/: run evaluate_benchmarks.py first")
    return results


def read_benchmarks(root: Path) -> dict[str, ResultsFile]:
    """Every results file of a benchmark that has been run, by name and kind of CPU: ``live.avx2``.

    Raises:
        EvaluationError: one is not JSON, or of no benchmark.
    """
    found = {}
    for file in sorted((root / BENCHMARK_RESULTS).glob("*.json")):
        if file.name.split(".")[0] not in BENCHMARKS:
            raise EvaluationError(f"{BENCHMARK_RESULTS / file.name}: of no known benchmark")
        found[file.stem] = _json(root, BENCHMARK_RESULTS / file.name)
    return found


def blocks(results: Mapping[str, ResultsFile]) -> dict[str, str]:
    """Every block that a document may contain, by the name in its markers."""
    found = {}
    for name, result in results.items():
        found[name] = TABLES[result["benchmark"]][1](result)
        if result["benchmark"] == "corpus":
            found[f"{name}-summary"] = found[name].split("\n\n")[0]
        if result["benchmark"] == "table6":
            found[f"{name}-grid"] = grid_sentence(result)
        if result["benchmark"] != "ravdess":
            continue
        found[f"{name}-summary"] = ravdess_summary(result)
        found[f"{name}-confusion"] = confusion_tables(result)
    return found


def render_document(
    results: Mapping[str, ResultsFile], weights: Mapping[str, str] | None = None
) -> str:
    """All of docs/results.md.

    Args:
        results: by name.
        weights: hashes of the weights of models in the repository, by folder. A result of other
            weights is marked.
    """
    weights = weights or {}
    parts = [
        "# Results",
        "Written by `python -m speech_emotion.evaluation.report` from the files in `results/`; "
        "do not edit. The predictions of every clip are beside each file.",
        commits_sentence(results),
    ]
    for name, result in results.items():
        versions = ", ".join(f"{library} {v}" for library, v in result["versions"].items())
        commit = (result["commit"] or "none")[:12]
        changed = " with uncommitted changes" if result["code_changed"] else ""
        measured = {row.get("system"): row.get("weights_sha256") for row in result.get("rows", ())}
        older = [f"`{k}`" for k, now in weights.items() if measured.get(k) not in (None, now)]
        changed += f"; {', '.join(older)} has had other weights since" if older else ""
        parts += [
            f"## {TABLES[result['benchmark']][0]}: `{name}`",
            TABLES[result["benchmark"]][1](result),
            *(_ravdess_sections(result) if result["benchmark"] == "ravdess" else ()),
            *(
                f"![{words}](images/{file})"
                for file, (words, _, _) in figures_of(name, result).items()
            ),
            "### Provenance",
            f"Commit {commit}{changed}; seed {result['seed']}; {versions}.",
        ]
    return "\n\n".join(parts) + "\n"


def commits_sentence(results: Mapping[str, ResultsFile]) -> str:
    """At which commits the tables were measured, from all results files.

    Returns:
        one sentence when it is one commit without changes; else a list by commit.
    """
    by_commit: dict[str, list[str]] = {}
    for name, result in results.items():
        words = f"`{(result['commit'] or 'none')[:12]}`"
        words += " with uncommitted changes" if result["code_changed"] else ""
        by_commit.setdefault(words, []).append(f"`{name}`")
        for row in result.get("rows", ()):
            if run := row.get("measured_by"):
                kept = by_commit.setdefault(f"`{run['commit'][:12]}`", [])
                kept += [what for what in [f"rows of `{name}`"] if what not in kept]
    if len(by_commit) == 1:
        return f"All of them were measured at commit {next(iter(by_commit))}."
    lines = [f"- {commit}: {', '.join(names)}" for commit, names in by_commit.items()]
    return "\n".join(["They were measured at these commits:", "", *lines])


def _ravdess_sections(result: ResultsFile) -> list[str]:
    matrices, speakers = confusion_tables(result), speaker_tables(result)
    return ["### Confusion matrices", matrices, "### Speakers", speakers]


def fill_blocks(text: str, contents: Mapping[str, str], *, where: str) -> str:
    """A document with new content in every marked block.

    Raises:
        EvaluationError: a block's name is not known.

    >>> print(fill_blocks("<!-- results:a -->\\nold\\n<!-- /results:a -->", {"a": "new"}, where=""))
    <!-- results:a -->
    new
    <!-- /results:a -->
    """

    def fill(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in contents:
            raise EvaluationError(
                f"{where}: no results for the block '{name}'; known are {', '.join(contents)}"
            )
        return f"{begin}{contents[name]}\n{end}"

    return BLOCK.sub(fill, text)


def render(root: Path) -> dict[Path, str]:
    """Every generated file below ``root``, with its text."""
    results = read_results(root)
    contents = blocks(results)
    cards = [path.parent for path in WITH_BLOCKS if any((root / path.parent).glob("*.safetensors"))]
    shipped = {path.as_posix(): weights_hash(root / path) for path in cards}
    files = {DOCUMENT: render_document(results, shipped)}
    if benchmarks := read_benchmarks(root):
        files[BENCHMARK_DOCUMENT] = benchmarks_document(benchmarks)
    for path in WITH_BLOCKS:
        if (root / path).is_file():
            text = (root / path).read_text(encoding="utf-8")
            text = fill_blocks(text, contents, where=str(path))
            if path.parent != Path():
                weights = weights_hash(root / path.parent)
                name = path.parent.name
                text = with_results(text, list(results.values()), weights=weights, name=name)
            files[path] = text
    return files


def render_figures(root: Path) -> dict[Path, bytes]:
    """Every figure below ``root`` that is out of date, drawn again."""
    return {
        IMAGES / file: png_of(data, draw)
        for name, result in read_results(root).items()
        for file, (_, data, draw) in figures_of(name, result).items()
        if not is_current(root / IMAGES / file, data)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the documents, or with ``--check`` list those out of date (exit code 1)."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_emotion.evaluation.report", description=__doc__
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if a document is out of date",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (.)")
    options = parser.parse_args(arguments)
    try:
        files = render(options.root)
        figures = render_figures(options.root)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = {
        path: text.encode() for path, text in files.items() if _read(options.root / path) != text
    } | figures
    for path, content in stale.items():
        if options.check:
            print(
                f"{path} is out of date: run python -m speech_emotion.evaluation.report",
                file=sys.stderr,
            )
        else:
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_bytes(content)
            print(f"written: {path}")
    return 1 if options.check and stale else 0


def _json(root: Path, file: Path) -> ResultsFile:
    try:
        return json.loads((root / file).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{file}: not JSON: {error}") from error


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
