"""The documents name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOPS = {path.name for path in ROOT.iterdir()} - {"runs", "raw", "corpus"}
WRITTEN = ("docs/results.md", "docs/benchmarks.md")
"""Written from results files, which quote the commands of their day."""


def named_files(text: str) -> set[str]:
    """Paths below the root in backquotes, and targets of links."""
    quoted = set(re.findall(r"`([\w./-]+/[\w./-]*)`", text))
    return {
        name
        for name in quoted
        if name.split("/")[0] in TOPS and not re.search("COMMAND|NAME|FOLDER", name)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_files_in_backquotes_exist(document):
    if document.relative_to(ROOT).as_posix() in WRITTEN:
        pytest.skip("written from results files")
    text = document.read_text(encoding="utf-8")
    assert [name for name in sorted(named_files(text)) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (document.parent / target).exists(), target


def test_modules_in_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {path.name for path in ROOT.glob("[chst]*/**/*.py")} | {"train.py"}
    names |= {"evaluate_benchmarks.py"}
    assert set(re.findall(r"`(\w+\.py)`", text)) - names == set()


def test_functions_in_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = re.findall(r"`(\w+)` in `([\w/]+\.py)`", text)
    assert len(found) > 5
    for name, file in found:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:(?:def|class) )?{name}\b", source, re.M), (name, file)
