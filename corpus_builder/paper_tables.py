"""Tables 1 to 4 of the paper, and the comparison of a built corpus with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from corpus_builder.statistics import Rows, count_by_corpus
from hub_model.labels import EMOTIONS

TITLES = {"savee": "SAVEE", "ravdess": "RAVDESS", "tess": "TESS", "iemocap": "IEMOCAP"}
TITLES |= {"crema_d": "CREMA-D"}

PAPER: Mapping[str, Mapping[str, Sequence[int]]] = {
    "train": {
        "savee": (38, 0, 52, 54, 38, 37, 108),
        "ravdess": (122, 1600, 145, 182, 120, 115, 386),
        "tess": (258, 0, 344, 348, 270, 251, 791),
        "iemocap": (691, 0, 0, 20, 379, 707, 201),
        "crema_d": (491, 0, 1059, 996, 791, 490, 0),
    },
    "validation": {
        "savee": (11, 0, 8, 17, 9, 9, 37),
        "ravdess": (29, 400, 56, 43, 35, 41, 92),
        "tess": (67, 0, 70, 77, 55, 69, 202),
        "iemocap": (163, 0, 2, 5, 95, 168, 41),
        "crema_d": (130, 0, 264, 258, 206, 113, 0),
    },
    "test": {
        "savee": (11, 0, 14, 7, 13, 14, 14),
        "ravdess": (41, 38, 38, 32, 37, 36, 40),
        "tess": (75, 0, 75, 72, 75, 80, 81),
        "iemocap": (188, 0, 0, 12, 117, 197, 14),
        "crema_d": (276, 0, 258, 262, 259, 272, 0),
    },
}
"""Tables 1 to 3: split -> corpus -> clips per emotion, as printed but for :data:`ERRATA`."""

PAPER_COMBINED = (2955, 192, 1923, 1927, 2499, 2995, 745)
"""Table 4: clips per emotion after cleaning, before splitting."""

TABLE_NUMBERS = {"train": 1, "validation": 2, "test": 3}
ERRATA = (
    "Errata of the paper's Table 3, corrected here: the total of surprised is printed 1149, but "
    "the column sums to 149; SAVEE's sad is printed 4, but the totals of its row (73) and of its "
    "column (599) need 14. With both corrections the table sums to its printed 2648."
)


def compare(
    splits: Mapping[str, Rows], kept: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, list[str], list[list[str]]]]:
    """Compare the ``paper`` configuration with the paper's tables.

    Args:
        splits: split -> rows of the ``paper`` configuration.
        kept: corpus -> emotion -> clips after cleaning, as ``build.json`` holds it.

    Returns:
        Title, header and lines of Tables 1 to 4. A cell reads ``ours (paper's, difference)``.
    """
    header = [*EMOTIONS, "total"]
    tables = []
    for split, number in TABLE_NUMBERS.items():
        ours = {line[0]: line[1:] for line in count_by_corpus(splits[split], EMOTIONS)}
        theirs: dict[str, list[int]] = {
            corpus: [*counts, sum(counts)] for corpus, counts in PAPER[split].items()
        }
        theirs["total"] = [sum(column) for column in zip(*theirs.values(), strict=True)]
        corpora = [*PAPER[split], *(name for name in sorted(ours) if name not in theirs), "total"]
        nothing = [0] * len(header)
        lines = [
            [
                TITLES.get(corpus, corpus),
                *map(_cell, ours.get(corpus, nothing), theirs.get(corpus, nothing)),
            ]
            for corpus in corpora
        ]
        tables.append((f"Table {number}: {split}", ["corpus", *header], lines))
    combined = [sum(labels.get(name, 0) for labels in kept.values()) for name in EMOTIONS]
    ours_and_theirs = zip(
        header,
        [*combined, sum(combined)],
        [*PAPER_COMBINED, sum(PAPER_COMBINED)],
        strict=True,
    )
    lines = [[name, _cell(ours, theirs)] for name, ours, theirs in ours_and_theirs]
    tables.append(("Table 4: combined, before splitting", ["emotion", "clips"], lines))
    return tables


def _cell(ours: int, theirs: int) -> str:
    return f"{ours} ({theirs}, {ours - theirs:+d})" if ours != theirs else f"{ours} (=)"


def combined_counts(report: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return emotion -> corpus -> clips after cleaning, for Figure 2."""
    return {
        emotion: {
            corpus: labels[emotion]
            for corpus, labels in report["kept"].items()
            if labels.get(emotion)
        }
        for emotion in report["emotions"]
    }
