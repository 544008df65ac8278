"""Documents from results files: ``python -m evaluation.report [--check]``.

Rewrites docs/results.md, and in the README and in model cards every block between
``<!-- results:NAME -->`` and ``<!-- /results:NAME -->``. NAME is a results file's name
without its ending (the table), or for RAVDESS that with ``-summary`` or ``-confusion``.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation import EvaluationError
from evaluation.paper_tables import paper_table
from evaluation.tables import (
    Result,
    confusion_tables,
    ravdess_summary,
    ravdess_table,
    speaker_tables,
)

RESULTS = Path("results")
DOCUMENT = Path("docs/results.md")
WITH_BLOCKS = (Path("README.md"), Path("checkpoints/mini/README.md"))
BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results:\2 -->)", re.DOTALL)
TITLES = {
    "ravdess": "RAVDESS (paper, Table 9)",
    "table6": "Classifiers on the 94 features (paper, Table 6)",
    "table8": "Architectures (paper, Table 8)",
}


def read_results(root: Path) -> dict[str, Result]:
    """Every results file below ``root/results``, by name without ending, in name order.

    Raises:
        EvaluationError: there is none, or one is not a results file of a known benchmark.
    """
    results: dict[str, Result] = {}
    for file in sorted((root / RESULTS).glob("*.json")):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise EvaluationError(f"{RESULTS / file.name}: not JSON: {error}") from error
        if not isinstance(result, dict) or result.get("benchmark") not in TITLES:
            raise EvaluationError(f"{RESULTS / file.name}: not the results of a known benchmark")
        results[file.stem] = result
    if not results:
        raise EvaluationError(f"no results in {RESULTS}/: run evaluate_benchmarks.py first")
    return results


def blocks(results: Mapping[str, Result]) -> dict[str, str]:
    """Every block that a document may hold, by the name in its markers."""
    found = {}
    for name, result in results.items():
        if result["benchmark"] != "ravdess":
            found[name] = paper_table(result)
            continue
        found[name] = ravdess_table(result)
        found[f"{name}-summary"] = ravdess_summary(result)
        found[f"{name}-confusion"] = confusion_tables(result)
    return found


def render_document(results: Mapping[str, Result]) -> str:
    """All of docs/results.md."""
    parts = [
        "# Results",
        "Written by `python -m evaluation.report` from the files in `results/`; "
        "do not edit. The predictions of every clip lie beside each file.",
    ]
    for name, result in results.items():
        versions = ", ".join(f"{library} {v}" for library, v in result["versions"].items())
        commit = (result["commit"] or "none")[:12]
        changed = " with uncommitted changes" if result["code_changed"] else ""
        parts += [
            f"## {TITLES[result['benchmark']]}: `{name}`",
            *_sections(result),
            "### How it was made",
            f"Commit {commit}{changed}; seed {result['seed']}; {versions}.",
        ]
    return "\n\n".join(parts) + "\n"


def _sections(result: Result) -> list[str]:
    if result["benchmark"] != "ravdess":
        return [paper_table(result)]
    return [
        ravdess_table(result),
        "### Confusion matrices",
        confusion_tables(result),
        "### Speakers",
        speaker_tables(result),
    ]


def fill_blocks(text: str, contents: Mapping[str, str], *, where: str) -> str:
    """A document with the content of every marked block replaced.

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
    """Every generated file below ``root`` with the text it should hold."""
    results = read_results(root)
    contents = blocks(results)
    files = {DOCUMENT: render_document(results)}
    for path in WITH_BLOCKS:
        if (root / path).is_file():
            text = (root / path).read_text(encoding="utf-8")
            files[path] = fill_blocks(text, contents, where=str(path))
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the documents, or with ``--check`` say which are out of date (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (.)")
    options = parser.parse_args(arguments)
    try:
        files = render(options.root)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = [path for path, text in files.items() if _read(options.root / path) != text]
    for path in stale:
        if options.check:
            print(f"{path} is out of date: run python -m evaluation.report", file=sys.stderr)
        else:
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_text(files[path], encoding="utf-8")
            print(f"written: {path}")
    return 1 if options.check and stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
