"""What was predicted for each speaker."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from corpus_builder.statistics import text_table
from hub_model.timeline import NO_SPEECH
from speech_emotion.predict.writers.captions import UNSURE


class SpeakerSummary:
    """The share of every label by speaker: of the recordings, or of the seconds of speech.

    Args:
        segments: the results have segments.
    """

    def __init__(self, *, segments: bool) -> None:
        self._segments = segments
        self._totals: dict[str, Counter[str]] = {}
        self._recordings: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def add(self, speaker: str, result: dict[str, Any]) -> None:
        """Take the result of a recording, or of every speaker of it."""
        for one in result.get("speakers", ()):
            parts = [part for part in result["segments"] if part["speaker"] == one]
            self.add(one, {"segments": parts})
        if "speakers" in result:
            return
        name = speaker or "(unknown)"
        totals = self._totals.setdefault(name, Counter())
        self._recordings[name] += 1
        if "error" in result:
            self._failed[name] += 1
        elif self._segments:
            for part in result["segments"]:
                totals[part["label"] or UNSURE] += part["end"] - part["start"]
        elif result["emotions"]:
            label = UNSURE if result.get("abstained") else result["emotions"][0]["label"]
            totals[label] += 1

    def table(self, labels: Sequence[str], *, part: bool = False) -> str:
        """Return lines of text: recordings, those that failed, and percent of each label.

        Args:
            labels: those of the results, in the order of the columns.
            part: some recordings were classified in an earlier run.
        """
        shown = [
            label for label in [*labels, UNSURE] if any(t[label] for t in self._totals.values())
        ]
        of_what = "of the seconds of speech" if self._segments else "of the recordings"
        lines = []
        for name in sorted(self._totals):
            totals = self._totals[name]
            spoken = sum(count for label, count in totals.items() if label != NO_SPEECH)
            shares = [f"{totals[label] / spoken:.0%}" if spoken else "-" for label in shown]
            lines.append([name, self._recordings[name], self._failed[name] or "", *shares])
        run = " in this run" if part else ""
        table = text_table(["speaker", "recordings", "failed", *shown], lines)
        return f"by speaker, percent {of_what}{run}:\n{table}"
