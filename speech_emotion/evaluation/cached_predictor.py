"""Predictions of one model on one set of clips, cached on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hub_model.audio import SAMPLING_RATE
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.benchmark import (
    Outcome,
    Result,
    Settings,
    clip_facts,
    data_facts,
    read_clips,
)
from speech_emotion.evaluation.classifiers import (
    Classifier,
    Prediction,
    load_classifier,
    predict_clips,
)
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.provenance import portable, portable_line, versions
from speech_emotion.evaluation.scoring import prediction_table, score

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "hub_model",
    "speech_emotion/predict",
    "speech_emotion/baselines",
    "speech_emotion/evaluation/classifiers.py",
    "speech_emotion/evaluation/conditions.py",
)
"""The code that makes a prediction; a change in it makes the cache void."""

MANY_CLIPS = 512

SILENT = {"array": np.zeros(SAMPLING_RATE, np.float32), "sampling_rate": SAMPLING_RATE}
"""Input for a clip without a waveform; its prediction is replaced by the reason."""

Waveforms = Callable[[], Sequence[np.ndarray | str]]


class CachedPredictor:
    """Predicts the emotions of clips with one model, and caches the predictions.

    Args:
        model: the model.
        clips: the clips.
        settings: settings of the benchmark.
        classes: the emotions that are predicted; the clips' labels are indices into them.
    """

    def __init__(
        self,
        model: Model,
        clips: ClipSet,
        settings: Settings,
        *,
        classes: Sequence[str] = EMOTIONS,
    ) -> None:
        self.model, self.clips, self.settings, self.classes = model, clips, settings, classes
        self.name = portable(model.name)
        self._classifiers: dict[bool, Classifier] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        config = (model.folder / "config.json").read_bytes()
        self._key = [
            model.weights_sha256,
            hashlib.sha256(config).hexdigest(),
            clips.fingerprint(),
            clips.cleaned,
            list(classes),
            list(model.labels),
            code_fingerprint(model.folder),
            versions(),
        ]

    def predict(
        self,
        *,
        text: str | None = None,
        modality: str = "fused",
        also: Sequence[str] = (),
        clean: bool | None = None,
        condition: str = "",
        waveforms: Waveforms | None = None,
    ) -> pd.DataFrame:
        """The predictions of every clip, from the cache when they are there.

        Args:
            text: one of the text modes; that of the settings when None.
            modality: one of :data:`~speech_emotion.evaluation.classifiers.MODALITIES`.
            also: modalities that will be needed as well; the same pass predicts them.
            clean: whether clips are cleaned first; when None, unless they have been cleaned.
            condition: name of the change made to the clips, seed included.
            waveforms: a function that returns float32 (num_samples,) at 16 kHz for every clip, or
                the error line of a clip without one; None takes the clips as they are.

        Returns:
            see :func:`~speech_emotion.evaluation.scoring.prediction_table`.
        """
        text = text or self.settings.text

        def key_of(modality: str) -> str:
            key = json.dumps([*self._key, text, modality, clean, condition], sort_keys=True)
            return hashlib.sha256(key.encode()).hexdigest()[:24]

        wanted = key_of(modality)
        file = self._file(wanted)
        if wanted not in self._tables and file is not None and file.is_file():
            self._tables[wanted] = pd.read_parquet(file)
        if wanted not in self._tables:
            modalities = tuple(dict.fromkeys((modality, *also)))
            for name, found in self._predict(text, modalities, clean, condition, waveforms).items():
                self._keep(key_of(name), prediction_table(self.clips, found, classes=self.classes))
        return self._tables[wanted]

    def result(self, table: pd.DataFrame, **more: Any) -> Result:
        """The result of a table of predictions: model, leak guard's finding and scores."""
        return {
            "kind": "model",
            "system": self.name,
            "weights_sha256": self.model.weights_sha256,
            "protocol": self.settings.protocol,
            "emotions": list(self.model.emotions),
            **more,
            **clip_facts(self.model.record, self.clips),
            "scores": score(table, classes=self.classes, seed=self.settings.seed),
        }

    def classifier(self, text: str) -> Classifier:
        """The model, loaded once, and once more with its transcriber for the text mode "asr"."""
        transcribes = text == "asr"
        if transcribes not in self._classifiers:
            self._classifiers[transcribes] = load_classifier(
                self.model,
                text=text,
                classes=self.classes,
                batch_size=self.settings.batch_size,
                workers=self.settings.workers,
                trust_remote_code=self.settings.trust_remote_code,
            )
        return self._classifiers[transcribes]

    def _keep(self, key: str, table: pd.DataFrame) -> None:
        self._tables[key] = table
        if file := self._file(key):
            file.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(file.with_suffix(".new"), index=False)
            file.with_suffix(".new").replace(file)

    def _file(self, key: str) -> Path | None:
        return None if self.settings.cache is None else self.settings.cache / f"{key}.parquet"

    def _predict(
        self,
        text: str,
        modalities: Sequence[str],
        clean: bool | None,
        condition: str,
        waveforms: Waveforms | None,
    ) -> dict[str, list[Prediction]]:
        classifier = self.classifier(text)
        sources, errors = None, {}
        if waveforms is not None:
            made = waveforms()
            errors = {i: item for i, item in enumerate(made) if isinstance(item, str)}
            sources = [
                {"array": item, "sampling_rate": SAMPLING_RATE} if i not in errors else SILENT
                for i, item in enumerate(made)
            ]
        found = predict_clips(
            classifier,
            self.clips,
            text=text,
            modalities=modalities,
            # Every call starts the worker processes anew, so with workers a call takes many clips.
            batch_size=MANY_CLIPS if self.settings.workers else 4 * self.settings.batch_size,
            clean=clean,
            what=f"{self.name} {condition}".strip(),
            sources=sources,
        )

        def shown(index: int, item: Prediction) -> Prediction:
            item = errors.get(index, item)
            return portable_line(item, self.settings.data) if isinstance(item, str) else item

        return {name: [shown(*one) for one in enumerate(items)] for name, items in found.items()}


def predictors(settings: Settings, outcome: Outcome) -> Iterator[CachedPredictor]:
    """A predictor for every model, on the clips it may be tested on.

    The facts about the first one's clips become those of the outcome.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    for model in settings.distinct_models:
        clips = read_clips(settings, [model])
        outcome.data = outcome.data or data_facts(settings, clips)
        yield CachedPredictor(model, clips, settings)


def code_fingerprint(folder: Path) -> str:
    """Hash over the code that makes a prediction, including that in the model folder."""
    digest = hashlib.sha256()
    sources = [ROOT / name for name in CODE]
    files = [f for path in sources for f in ([path] if path.is_file() else path.rglob("*.py"))]
    for file in [*sorted(files), *sorted(folder.glob("*.py"))]:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
