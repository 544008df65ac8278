"""Counts of a built corpus: per split, class and corpus (paper, Tables 1-4)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def count_by_corpus(rows: Rows, labels: Sequence[str]) -> list[list[Any]]:
    """Return one line per corpus and a total line: name, clips per class, clips in all."""
    counts = Counter((row["corpus"], row["label"]) for row in rows)
    lines = [
        [corpus, *(counts[corpus, label] for label in labels)]
        for corpus in sorted({row["corpus"] for row in rows})
    ]
    lines.append(["total", *(sum(line[i] for line in lines) for i in range(1, len(labels) + 1))])
    return [[*line, sum(line[1:])] for line in lines]


def describe_split(rows: Rows, labels: Sequence[str]) -> dict[str, Any]:
    """Return the counts of one split as JSON values."""
    counts = Counter(row["label"] for row in rows)
    corpora = Counter(row["corpus"] for row in rows)
    genders = Counter(row["gender"] for row in rows if row["gender"])
    return {
        "clips": len(rows),
        "hours": round(sum(row["duration"] for row in rows) / 3600, 4),
        "labels": {label: counts[label] for label in labels},
        "corpora": dict(sorted(corpora.items())),
        "genders": dict(sorted(genders.items())),
        "speakers": sorted({row["speaker_id"] for row in rows}),
    }


def text_table(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Format a table for the terminal, first column left, the others right."""
    cells = [[str(cell) for cell in line] for line in (header, *lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def markdown_table(
    header: Sequence[str], lines: Iterable[Sequence[Any]], *, numbers: bool = True
) -> str:
    """Format a table in Markdown; pipes in cells are escaped.

    Args:
        header: names of the columns.
        lines: cells of each line.
        numbers: put all columns but the first to the right.

    >>> print(markdown_table(("a", "b"), [("1", "x|y")]))
    | a | b |
    | --- | ---: |
    | 1 | x\\|y |
    """
    rule = "---:" if numbers else "---"
    rows = [header, ["---", *[rule] * (len(header) - 1)], *lines]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    )
