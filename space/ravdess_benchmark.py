"""The RAVDESS benchmark (paper, Table 9): `python ravdess_benchmark.py RAVDESS --model MODEL`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from classifier import Classifier, Settings, first_line
from clips import Clip, ClipError, read_clip
from ravdess_clips import EMOTIONS, NEUTRAL, Clips, LabelledClip, open_clips
from ravdess_scores import PAPER, Row, markdown, overlap, score
from tqdm.auto import tqdm

TEXTS = {
    "corpus": "text: the corpus's own sentence",
    "none": "text: none, the audio alone",
    "asr": "text: what the model's transcriber heard",
}
BATCH_SIZE = 8
SYNONYMS = {
    "angry": ("ang", "anger"),
    "calm": ("cal", "calmness"),
    "disgust": ("dis", "disgusted"),
    "fearful": ("fea", "fear"),
    "happy": ("hap", "happiness", "joy", "exc", "excited"),
    "sad": ("sadness",),
    "surprised": ("sur", "surprise", "ps", "pleasant surprise"),
    NEUTRAL: ("neu", "neutrality"),
}
"""Emotion -> the other names under which well-known checkpoints answer it."""

PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "soundfile")


class Benchmark:
    """Asks one model about RAVDESS.

    Args:
        classifier: the loaded model.

    Raises:
        ClipError: there is no model, or it answers fewer than two of the seven emotions.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.emotion_of = emotions_of(classifier.labels) if classifier.labels else {}
        known = set(self.emotion_of.values())
        self.emotions = tuple(name for name in EMOTIONS if name in known)

    def rows(self, clips: Clips, *, text: str = "corpus") -> Iterator[Row]:
        """Answer every clip, one after the other; a clip that cannot be used carries its error.

        Args:
            clips: what `open_clips` gave.
            text: "corpus" for each clip's own transcript, "none", or "asr" for the transcriber's.

        Raises:
            ClipError: there is no model, the clips cannot be read on, or none is left.
        """
        if self.classifier.problem:
            raise ClipError(self.classifier.problem)
        if len(self.emotions) < 2:
            raise ClipError("The model answers fewer than two of the seven emotions.")
        wanted = self._wanted(clips)
        while batch := list(islice(wanted, BATCH_SIZE)):
            yield from self._batch(batch, text)

    def result(
        self, clips: Clips, rows: Sequence[Row], *, text: str = "corpus", seconds: float
    ) -> dict[str, Any]:
        """All figures and facts of a finished run, as plain JSON values."""
        if not rows:
            raise ClipError(f"{clips.source}: no clip to score.")
        model = self.classifier.pipeline.model.config
        found = overlap(getattr(model, "training", None), {row.speaker for row in rows})
        unheard = [row for row in rows if row.speaker not in found["speakers"]]
        return {
            "benchmark": "ravdess",
            "model": self.classifier.name,
            "data": clips.source,
            "text": text,
            "text_meaning": TEXTS[text],
            "emotions": list(self.emotions),
            "overlap": found,
            "scores": score(rows),
            # As `evaluate_benchmarks.py` has it: without the speakers that the model heard.
            "unheard": score(unheard) if found["speakers"] and unheard else None,
            "paper_table_9": PAPER,
            "removed": dict(sorted(clips.removed.items())),
            "rejected": clips.rejected,
            "errors": {row.name: row.error for row in rows if row.error},
            "versions": {name: version(name) for name in PACKAGES},
            "seconds": round(seconds, 2),
        }

    def _wanted(self, clips: Clips) -> Iterator[LabelledClip]:
        for clip in clips.found:
            if clip.label in self.emotions:
                yield clip
            else:
                clips.removed[f"{clip.label}, which the model does not answer"] += 1

    def _batch(self, batch: list[LabelledClip], text: str) -> Iterator[Row]:
        settings = self.classifier.settings
        limits = {"max_seconds": settings.max_seconds, "max_megabytes": settings.max_megabytes}
        found: dict[Path, dict[str, float] | str] = {}
        good: dict[LabelledClip, Clip] = {}
        for clip in batch:
            try:
                good[clip] = read_clip(clip.path, **limits)
            except ClipError as error:
                found[clip.path] = str(error)
        if self.classifier.supports_text and good:
            found |= zip((clip.path for clip in good), self._ask(list(good), text), strict=True)
        else:
            found |= {clip.path: self._ask_stock(clip, heard) for clip, heard in good.items()}
        for clip in batch:
            facts = {"name": clip.name, "speaker": clip.speaker, "label": clip.label}
            answer = found[clip.path]
            if isinstance(answer, dict):
                answer = self._renormalised(answer)
            if isinstance(answer, str):
                yield Row(**facts, error=answer)
            else:
                yield Row(**facts, predicted=max(answer, key=answer.get), scores=answer)

    def _ask(self, clips: list[LabelledClip], text: str) -> list[dict[str, float] | str]:
        """The model's own labels and their probabilities, or one line, for each clip."""
        texts = {"corpus": [clip.transcript for clip in clips], "none": [""] * len(clips)}
        # The clips of a built corpus have been cleaned, and those of a zip have not.
        clean = not clips[0].cleaned
        paths = [clip.path for clip in clips]
        return self.classifier.answer_batch(paths, texts=texts.get(text), clean=clean)

    def _ask_stock(self, clip: LabelledClip, heard: Clip) -> dict[str, float] | str:
        try:
            answer = self.classifier.answer(clip.path, heard)
        except ClipError as error:
            return str(error)
        return {row["label"]: row["score"] for row in answer.emotions}

    def _renormalised(self, scores: dict[str, float]) -> dict[str, float] | str:
        """Probabilities of the emotions alone, two labels of one emotion added up."""
        found = dict.fromkeys(self.emotions, 0.0)
        for label, value in scores.items():
            if self.emotion_of.get(label) in found:
                found[self.emotion_of[label]] += value
        total = sum(found.values())
        if not total > 0:
            return "all probability is on labels that are not scored here"
        return {name: value / total for name, value in found.items()}


def emotions_of(labels: Sequence[str]) -> dict[str, str | None]:
    """The emotion that each label of a model stands for, or None.

    >>> emotions_of(["ANG", "pleasant_surprise", "other"])
    {'ANG': 'angry', 'pleasant_surprise': 'surprised', 'other': None}
    """
    known = {word: name for name, words in SYNONYMS.items() for word in (name, *words)}
    return {label: known.get(" ".join(label.lower().replace("_", " ").split())) for label in labels}


def run(
    classifier: Classifier,
    clips: Clips,
    *,
    text: str = "corpus",
    progress: Callable[[Iterator[Row], int | None], Iterator[Row]] | None = None,
) -> tuple[dict[str, Any], list[Row]]:
    """Run the whole benchmark.

    Args:
        classifier: the loaded model. clips: what `open_clips` gave.
        text: "corpus", "none" or "asr".
        progress: takes the rows and their number, and hands them on.

    Returns:
        The figures and facts as plain JSON values, and the answer about each clip.

    Raises:
        ClipError: it cannot be run; one line.
    """
    benchmark, started = Benchmark(classifier), time.perf_counter()
    rows = benchmark.rows(clips, text=text)
    found = list(progress(rows, clips.total) if progress else rows)
    seconds = time.perf_counter() - started
    return benchmark.result(clips, found, text=text, seconds=seconds), found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 2 with one line when it cannot, 130 when it is interrupted."""
    parser = argparse.ArgumentParser(description="RAVDESS benchmark (paper, Table 9).")
    parser.add_argument("data", help="folder or zip of RAVDESS, or Hub data set id of a corpus")
    parser.add_argument("--model", help="folder or Hub id (SER_MODEL, else the page's own)")
    parser.add_argument("--text", choices=TEXTS, default="corpus", help="(%(default)s)")
    parser.add_argument("--config", default="speaker_disjoint", help="of a data set (%(default)s)")
    parser.add_argument("--split", default="test", help="of a data set (%(default)s)")
    parser.add_argument("--json", type=Path, help="write figures and every answer here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        # The transcriber is only woken where it is heard.
        transcriber = settings.transcriber if options.text == "asr" else "none"
        model = options.model or settings.model
        classifier = Classifier(replace(settings, model=model, transcriber=transcriber))
        with open_clips(options.data, config=options.config, split=options.split) as clips:
            result, rows = run(classifier, clips, text=options.text, progress=_bar)
        table = markdown(result)
        if options.json:
            answers = [asdict(row) for row in rows]
            options.json.write_text(
                json.dumps(result | {"answers": answers}, indent=2, allow_nan=False) + "\n",
                encoding="utf-8",
            )
        if options.markdown:
            options.markdown.write_text(table, encoding="utf-8")
    except (ClipError, ValueError, OSError) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    print(table, end="")
    return 0


def _bar(rows: Iterator[Row], total: int | None) -> Iterator[Row]:
    return tqdm(rows, total=total, desc="clips", unit="clip", disable=None)


if __name__ == "__main__":
    sys.exit(main())
