"""One corpus at a time: the scores of a model on each, and of always predicting one emotion.

Where it was trained on a corpus, and where not; as it is, and adapted to each speaker.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError, mfcc_baseline
from speech_emotion.evaluation.adaptation import adapted, means_of
from speech_emotion.evaluation.benchmark import (
    Outcome,
    Result,
    Settings,
    data_facts,
    require_corpus,
)
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.clips import WHOLE, ClipSet, EmptyError, label_names, read_whole
from speech_emotion.evaluation.folds import predicted_classes, read_folds
from speech_emotion.evaluation.models import Model, open_model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import (
    answered_of,
    classes_of,
    ids_of,
    log_probabilities,
    prediction_table,
    prior,
    restricted,
)
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    SEEN,
    ResultsFile,
    common_notes,
    counts,
    estimate,
    fold_list,
    markdown_table,
    overlap_cell,
    percent,
    system_of,
    wa_and_ua,
    with_notes,
)

ALL_SEEN = "all its speakers are in the training data"


def run(settings: Settings) -> Outcome:
    """Score every model on each corpus of the data, on speakers outside its training data.

    Cross-validations given as ``folds`` are scored on each corpus whose folds they tested.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    require_corpus(settings.data)
    models = settings.distinct_models
    classes = label_names(settings.data)
    whole = read_whole(settings.data, classes=classes)
    outcome = Outcome(data=data_facts(settings, whole) | {"protocol": WHOLE, "split": "all"})
    baseline = _baseline_predictions(whole, settings, classes)
    genders = dict(zip(whole.speakers.tolist(), whole.details("gender"), strict=True))
    for corpus in sorted(set(whole.corpora)):
        own = np.array(whole.corpora) == corpus
        clips = whole.chosen(own)
        outcome.results.append(_prior(corpus, clips, classes))
        if isinstance(baseline, str):
            outcome.not_run(mfcc_baseline.NAME, baseline, corpus=corpus)
        elif baseline is not None:
            table = baseline[own].reset_index(drop=True)
            result = mfcc_baseline.baseline_result(
                table,
                clips,
                whole.speakers[~own].tolist(),
                seed=settings.seed,
                classes=classes,
                corpus=corpus,
                protocol=WHOLE,
            )
            outcome.add(result | _details(table, genders), table, corpus=corpus)
        for model in models:
            name = portable(model.name)
            test = clips.without_speakers(model.speakers or ())
            if not set(classes) <= set(model.emotions) and len(test.clips):
                test = test.of_emotions(model.emotions)
            if not len(test.clips):
                reason = f"{ALL_SEEN}; {_without(corpus, clips, whole, models, settings)}"
                outcome.not_run(name, reason, corpus=corpus)
                continue
            test = test.limited(settings.limit, seed=settings.seed)
            predictor = CachedPredictor(model, test, settings, classes=classes)
            with outcome.timed(f"{name}, {corpus}"):
                table = predictor.predict()
            more = _details(table, genders) | _adapted(table, model, seed=settings.seed)
            outcome.add(predictor.result(table, corpus=corpus) | more, table, corpus=corpus)
        for folder in settings.folds:
            predicted = tuple(name for name in predicted_classes(folder) if name in classes)
            try:
                result, table = read_folds(
                    folder,
                    corpus=corpus,
                    text=settings.text,
                    seed=settings.seed,
                    classes=predicted or classes,
                )
            except EmptyError:
                continue
            models_of_folds = {
                int(fold): open_model(str(Path(folder) / f"fold_{fold}"))
                for fold in table["fold"].unique()
                if (Path(folder) / f"fold_{fold}").is_dir()
            }
            more = _details(table, genders) | _adapted(table, models_of_folds, seed=settings.seed)
            outcome.add(result | more, table)
    return outcome


def _without(
    corpus: str, clips: ClipSet, whole: ClipSet, models: Sequence[Model], settings: Settings
) -> str:
    """Which model was trained without a corpus, or how to train one."""
    for model in models:
        if len(clips.without_speakers(model.speakers or ()).clips):
            return f"see `{portable(model.name)}`"
    others = sorted(set(whole.corpora) - {corpus})
    if not others:
        return "the data has no other corpus to train on"
    output_dir = f"runs/hubert_without_{corpus}"
    train = f"python train.py --config configs/hubert.yaml --data {portable(settings.data)}"
    train += f" --corpora {' '.join(others)} --output-dir {output_dir}"
    return f"`{train}` trains a model without them; add `--model {output_dir}`"


def _details(table: pd.DataFrame, genders: Mapping[str, str | None]) -> dict[str, Any]:
    """UA if there were no labels but those of the corpus, and UA of women and of men."""
    classes = classes_of(table.columns)
    present = tuple(name for name in classes if name in set(table["label"]))
    among = restricted(table, present)
    found: dict[str, Any] = {
        "own_labels": {
            "labels": len(present),
            "ua": metrics.ua(*ids_of(among, classes=present)[:2]),
        }
    }
    for name in ("female", "male"):
        part = table[table["speaker_id"].map(genders) == name]
        if len(part):
            found[name] = {"clips": len(part), "ua": metrics.ua(*ids_of(part, classes=classes)[:2])}
    return found


def _adapted(
    table: pd.DataFrame, models: Model | Mapping[int, Model], *, seed: int
) -> dict[str, Any]:
    """UA of a model fitted to half of each speaker's clips, see :mod:`.adaptation`.

    Args:
        table: predictions.
        models: the model that made them; by fold, in a cross-validation.
        seed: of the halves and of the bootstrap.
    """
    classes = classes_of(table.columns)
    answered = answered_of(table)
    references, _, speakers = ids_of(answered, classes=classes)
    by_speaker = (
        answered.groupby("speaker_id")["fold"].first().map(models).to_dict()
        if isinstance(models, Mapping)
        else dict.fromkeys(speakers, models)
    )
    means, scales = {}, {}
    for name, model in by_speaker.items():
        usable = isinstance(model, Model) and model.class_mean_logits is not None
        if not usable or model.adapted or not set(classes) <= set(model.emotions):
            return {}
        means[name], scales[name] = means_of(model, classes), model.temperature
    logits = log_probabilities(answered, classes=classes)
    logits *= np.array([scales[name] for name in speakers])[:, None]
    fitted = adapted(logits, references, speakers, means, seed=seed, fitted_to=("half",))
    return {"adapted": fitted["half"]}


def _baseline_predictions(
    whole: ClipSet, settings: Settings, classes: Sequence[str]
) -> pd.DataFrame | str | None:
    """Predict each corpus with the MFCC baseline trained on all others.

    Returns:
        predictions of all clips; the reason why there are none; or None with only one corpus.
    """
    if len(set(whole.corpora)) < 2:
        return None
    features = mfcc_baseline.Mfccs(settings.data)(whole)
    try:
        found = mfcc_baseline.cross_predict(
            features, whole.labels, whole.corpora, seed=settings.seed, classes=classes
        )
    except EvaluationError as error:
        return str(error)
    return prediction_table(whole, found, classes=classes)


def _prior(corpus: str, clips: ClipSet, classes: Sequence[str]) -> Result:
    """The scores of always predicting the commonest emotion."""
    return {
        "kind": "prior",
        "corpus": corpus,
        "clips": len(clips.clips),
        "speakers": len(set(clips.speakers)),
        **prior([classes[label] for label in clips.labels.tolist()]),
    }


def table(results: ResultsFile) -> str:
    """One block of lines per corpus, its prior first."""
    lines: list[tuple[str, ...]] = []
    figures: tuple[str, ...]
    for result in results["rows"]:
        kind, corpus = result["kind"], result["corpus"]
        if kind == "prior":
            name = f"always {result['commonest']} (UA: chance, 1/{result['emotions']})"
            figures = (percent(result["wa"]), percent(result["ua"]), "", "", "", "")
            lines.append(
                (corpus, name, *figures, str(result["clips"]), str(result["speakers"]), "")
            )
        elif kind == "not_run":
            figures = (NOT_RUN, NOT_RUN, *[""] * 6)
            lines.append((corpus, system_of(result), *figures, result["reason"]))
        else:
            name = system_of(result)
            if kind == "folds":
                name += f", {len(result['folds'])} speaker-disjoint folds"
            elif kind == "baseline":
                name += ", trained on the other corpora"
            figures = (*wa_and_ua(result), *_further(result), *counts(result))
            lines.append((corpus, name, *figures, overlap_cell(result)))
    header = (
        "Corpus",
        "System",
        "WA",
        "UA",
        "UA, adapted",
        "UA, its labels",
        "UA, women",
        "UA, men",
        "Clips",
        "Speakers",
        SEEN,
    )
    notes = [
        "WA and UA are among all labels of the data. Adapted: every clip is predicted by the model "
        "fitted to the other half of its speaker's clips, without labels. Its labels: among those "
        "that the corpus has.",
        "All recordings of a corpus are scored, except those of speakers in the training data.",
        "TESS has two actresses: its figures are over two speakers.",
        *(
            f"`{result['system']}`, {result['corpus']}, by fold: "
            f"{fold_list(result, speakers=True)}."
            for result in results["rows"]
            if result["kind"] == "folds"
        ),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)


def _further(result: Result) -> tuple[str, ...]:
    """Cells of the scores after WA and UA; empty where a score is not known."""
    fitted = result.get("adapted")
    return (
        estimate(fitted["ua"], fitted["interval"]) if fitted else "",
        *(
            percent(result[k]["ua"]) if k in result else ""
            for k in ("own_labels", "female", "male")
        ),
    )
