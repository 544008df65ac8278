"""The RAVDESS benchmark (paper, Table 9): `python ravdess_benchmark.py RAVDESS --model MODEL`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from classifier import NOT_TRUSTED, Classifier, first_line
from clips import ClipError, read_clip
from ravdess_clips import EMOTIONS, NEUTRAL, Clips, LabelledClip, open_clips
from ravdess_scores import PAPER, Prediction, markdown, overlap, score
from settings import Settings
from tqdm.auto import tqdm

TEXTS = {
    "corpus": "text: the sentence of the corpus",
    "none": "text: none, audio only",
    "asr": "text: of the model's transcriber",
}
BATCH_SIZE = 8
SYNONYMS = {
    "angry": ("ang", "anger"),
    "calm": ("cal", "calmness"),
    "disgust": ("dis", "disgusted"),
    "fearful": ("fea", "fear", "afraid"),
    "happy": ("hap", "happiness", "joy", "exc", "excited"),
    "sad": ("sadness",),
    "surprised": ("sur", "surprise", "ps", "pleasant surprise"),
    NEUTRAL: ("neu", "neutrality"),
}
"""Emotion -> its other names in well-known checkpoints."""

PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "soundfile")


class Benchmark:
    """Classifies and scores clips of RAVDESS with one model."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.emotion_of = emotions_of(classifier.labels)
        known = set(self.emotion_of.values())
        self.emotions = tuple(name for name in EMOTIONS if name in known)

    def run(self, clips: Clips, *, text: str = "corpus") -> Iterator[Prediction | dict[str, Any]]:
        """Classify all clips in order, and score them.

        Args:
            clips: of `open_clips`.
            text: "corpus" for the transcript of the clip, "none", or "asr" for the transcriber's.

        Yields:
            A prediction for each clip; an unusable clip has its error. At last figures, facts and
            `answers`, all predictions, as plain JSON values.

        Raises:
            ClipError: there is no model, it has fewer than two of the emotions, or the clips
                cannot be read; one line.
        """
        if self.classifier.problem:
            raise ClipError(self.classifier.problem)
        if len(self.emotions) < 2:
            raise ClipError("The model has fewer than two of the seven emotions.")
        predictions: list[Prediction] = []
        scored, started = self._scored(clips), time.perf_counter()
        while batch := list(islice(scored, BATCH_SIZE)):
            for clip, found in zip(batch, self._classify(batch, text), strict=True):
                scores = found if isinstance(found, str) else self._renormalised(found)
                facts = {"name": clip.name, "speaker": clip.speaker, "label": clip.label}
                if isinstance(scores, str):
                    facts["error"] = scores
                else:
                    facts |= {"predicted": max(scores, key=scores.get), "scores": scores}
                predictions.append(Prediction(**facts))
                yield predictions[-1]
        if not predictions:
            raise ClipError(f"{clips.source}: no clip to score.")
        record = getattr(self.classifier.pipeline.model.config, "training", None)
        found = overlap(record, {prediction.speaker for prediction in predictions})
        unseen = [one for one in predictions if one.speaker not in found["speakers"]]
        yield {
            "benchmark": "ravdess",
            "model": self.classifier.name,
            "data": clips.source,
            "text": text,
            "text_meaning": TEXTS[text],
            "emotions": list(self.emotions),
            "overlap": found,
            "scores": score(predictions),
            # As in `evaluate_benchmarks.py`: without the speakers of the training data.
            "unseen": score(unseen) if found["speakers"] and unseen else None,
            "paper_table_9": PAPER,
            "removed": dict(sorted(clips.removed.items())),
            "rejected": clips.rejected,
            "errors": {one.name: one.error for one in predictions if one.error},
            "versions": {name: version(name) for name in PACKAGES},
            "seconds": round(time.perf_counter() - started, 2),
            "answers": [asdict(prediction) for prediction in predictions],
        }

    def _scored(self, clips: Clips) -> Iterator[LabelledClip]:
        for clip in clips.found:
            if clip.label in self.emotions:
                yield clip
            else:
                clips.removed[f"{clip.label}, which the model does not have"] += 1

    def _classify(self, batch: list[LabelledClip], text: str) -> list[dict[str, float] | str]:
        """Return probabilities by the model's own labels, or one line, for each clip."""
        found: list[dict[str, float] | str] = []
        usable: list[LabelledClip] = []
        for clip in batch:
            try:
                decoded = read_clip(
                    clip.path,
                    **self.classifier.settings.clip_limits,
                    stream=self.classifier.audio_stream,
                )
                if self.classifier.supports_text:
                    usable.append(clip)
                    found.append({})
                else:
                    emotions = self.classifier.classify(clip.path, decoded).emotions
                    found.append({one["label"]: one["score"] for one in emotions})
            except ClipError as error:
                found.append(str(error))
        if usable:
            texts = {"corpus": [clip.transcript for clip in usable], "none": [""] * len(usable)}
            scores = iter(
                self.classifier.classify_batch(
                    [clip.path for clip in usable],
                    texts=texts.get(text),
                    clean=not usable[0].cleaned,  # clips of a built corpus have been cleaned
                )
            )
            found = [one if isinstance(one, str) else next(scores) for one in found]
        return found

    def _renormalised(self, scores: dict[str, float]) -> dict[str, float] | str:
        """Return probabilities of the emotions only; labels of one emotion are added up."""
        found = dict.fromkeys(self.emotions, 0.0)
        for label, value in scores.items():
            if self.emotion_of.get(label) in found:
                found[self.emotion_of[label]] += value
        total = sum(found.values())
        if not total > 0:
            return "all probability is on labels that are not scored here"
        return {name: value / total for name, value in found.items()}


def emotions_of(labels: Sequence[str]) -> dict[str, str | None]:
    """Return the emotion of each label of a model, or None.

    >>> emotions_of(["ANG", "pleasant_surprise", "other"])
    {'ANG': 'angry', 'pleasant_surprise': 'surprised', 'other': None}
    """
    known = {word: name for name, words in SYNONYMS.items() for word in (name, *words)}
    return {label: known.get(" ".join(label.lower().replace("_", " ").split())) for label in labels}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 2 with one line if it cannot, 130 if it is interrupted."""
    parser = argparse.ArgumentParser(description="RAVDESS benchmark (paper, Table 9).")
    parser.add_argument("data", help="folder or zip of RAVDESS, or Hub data set id of a corpus")
    parser.add_argument("--model", help="folder or Hub id (default: SER_MODEL, or the Space's own)")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the Python code of the folder or repo that --model names",
    )
    parser.add_argument("--text", choices=TEXTS, default="corpus", help="(%(default)s)")
    parser.add_argument("--config", default="speaker_disjoint", help="of a data set (%(default)s)")
    parser.add_argument("--split", default="test", help="of a data set (%(default)s)")
    parser.add_argument("--json", type=Path, help="write figures and all predictions to this file")
    parser.add_argument("--markdown", type=Path, help="write the report to this file")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        # The transcriber is loaded only if it is used.
        transcriber = settings.transcriber if options.text == "asr" else "none"
        model = options.model or settings.model
        if options.trust_remote_code:
            settings = replace(settings, model=model)
        classifier = Classifier(replace(settings, transcriber=transcriber), model=model)
        if classifier.problem and NOT_TRUSTED in classifier.problem:
            raise ClipError(
                f"{classifier.name}: this model needs Python code of its own, which is not run; "
                "give --trust-remote-code if you trust it"
            )
        with open_clips(options.data, config=options.config, split=options.split) as clips:
            steps = Benchmark(classifier).run(clips, text=options.text)
            with tqdm(total=clips.total, desc="clips", unit="clip", disable=None) as bar:
                for result in steps:
                    bar.update(isinstance(result, Prediction))
        report = markdown(result)
        if options.json:
            text = json.dumps(result, indent=2, allow_nan=False) + "\n"
            options.json.write_text(text, encoding="utf-8")
        if options.markdown:
            options.markdown.write_text(report, encoding="utf-8")
    except (ClipError, ValueError, OSError) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    print(report, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
