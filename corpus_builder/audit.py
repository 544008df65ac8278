"""The leak audit: what crosses the splits of a configuration.

It reads the rows of the shards, so it also finds faults in the writing of the shards, and it can be
run on any corpus of this layout at any time.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from corpus_builder import CorpusError

Rows = Sequence[Mapping[str, Any]]

CROSSING = {
    "speaker": "speaker_id",
    "source recording": "source_id",
    "duplicate recording": "audio_hash",
    "sentence": "sentence_id",
}
"""What the audit looks for across splits, and its column."""

AUGMENTED = "augmented clip"
TWICE = "clip listed twice"

SPEAKER_FOLDS = "speaker in two folds"

SENTENCES: dict[str | tuple[str, ...], str] = {
    "sentence": "in acted corpora every speaker reads the same sentences"
}

ALLOWED: Mapping[str, Mapping[str | tuple[str, ...], str]] = {
    "speaker_disjoint": SENTENCES,
    "paper": SENTENCES
    | {
        "speaker": "the paper splits at random, so results are speaker-dependent",
        ("source recording", "train", "validation"): (
            "the paper cuts validation from train after augmentation, so validation results are "
            "too good"
        ),
        ("augmented clip", "validation"): "the paper cuts validation from the balanced train part",
    },
    "natural": SENTENCES,
}
"""Per configuration: what may cross its splits, and why; with the splits when only there. Anything
else is a leak."""


class LeakError(CorpusError):
    """The corpus holds a leak that its configuration forbids."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    Args:
        what: a key of :data:`CROSSING`, :data:`AUGMENTED`, :data:`TWICE` or :data:`SPEAKER_FOLDS`.
        splits: where it was looked for.
        count: how many distinct ones were found.
        examples: the first few.
        allowed: why the configuration may have it; None when it may not.
    """

    what: str
    splits: tuple[str, ...]
    count: int
    examples: tuple[str, ...]
    allowed: str | None

    @property
    def is_leak(self) -> bool:
        """Whether it was found and is not allowed."""
        return self.count > 0 and self.allowed is None

    def __str__(self) -> str:
        where = f"{self.what} in {' and '.join(self.splits)}"
        if not self.count:
            return f"{where}: none"
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{where}: {self.count} ({', '.join(self.examples)}{more})"


def audit(splits: Mapping[str, Rows], *, config: str) -> list[Finding]:
    """Look for speakers, sources, duplicates and sentences across splits (design rule 2).

    Args:
        splits: split name -> rows with the columns of the corpus; audio is not needed.
        config: name of the configuration, which decides what is allowed.

    Returns:
        One finding per thing and pair of splits, found or not, plus augmented clips where there
        may be none, clips listed twice, and speakers in two folds of their corpus.
    """
    allowed = ALLOWED[config]

    def finding(what: str, where: Iterable[str], found: Iterable[str]) -> Finding:
        examples, where = sorted(found), tuple(where)
        return Finding(
            what=what,
            splits=where,
            count=len(examples),
            examples=tuple(examples[:3]),
            allowed=allowed.get(what, allowed.get((what, *where))),
        )

    findings = [
        finding(what, pair, _values(splits[pair[0]], column) & _values(splits[pair[1]], column))
        for what, column in CROSSING.items()
        for pair in combinations(splits, 2)
    ]
    for name, rows in splits.items():
        if name != "train" or config == "natural":
            found = {row["utterance_id"] for row in rows if row["augmentation"] is not None}
            findings.append(finding(AUGMENTED, [name], found))
    counts = Counter(row["utterance_id"] for rows in splits.values() for row in rows)
    twice = {name for name, count in counts.items() if count > 1}
    findings.append(finding(TWICE, splits, twice))
    folds = {(row["speaker_id"], row.get("fold")) for rows in splits.values() for row in rows}
    counts = Counter(speaker for speaker, _ in folds)
    moving = {speaker for speaker, count in counts.items() if count > 1}
    findings.append(finding(SPEAKER_FOLDS, splits, moving))
    return findings


def require_no_leak(findings: Iterable[Finding], *, config: str) -> None:
    """Raise :class:`LeakError`, which names every leak, unless there is none."""
    leaks = [str(finding) for finding in findings if finding.is_leak]
    if leaks:
        raise LeakError(f"{config}: leak: {'; '.join(leaks)}")


def to_dicts(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return the findings as JSON values."""
    return [asdict(finding) | {"splits": list(finding.splits)} for finding in findings]


def _values(rows: Rows, column: str) -> set[str]:
    return {row[column] for row in rows if row[column] is not None}
