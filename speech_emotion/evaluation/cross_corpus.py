"""One corpus at a time: the scores of a model on each, and of always predicting one emotion."""

import numpy as np
import pandas as pd

from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError, mfcc_baseline
from speech_emotion.evaluation.benchmark import (
    Outcome,
    Result,
    Settings,
    data_facts,
    require_corpus,
)
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.clips import WHOLE, ClipSet, EmptyError, read_whole
from speech_emotion.evaluation.folds import read_folds
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import prediction_table, prior
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    SEEN,
    ResultsFile,
    common_notes,
    counts,
    fold_list,
    markdown_table,
    overlap_cell,
    percent,
    system_of,
    wa_and_ua,
    with_notes,
)

ALL_SEEN = (
    "all its speakers are in the training data; `python train.py --config configs/mini.yaml "
    "--data {data} --corpora OTHERS --output-dir FOLDER` trains a model without them"
)


def run(settings: Settings) -> Outcome:
    """Score every model on each corpus of the data, on speakers outside its training data.

    Cross-validations given as ``folds`` are scored on each corpus whose folds they tested.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    require_corpus(settings.data)
    models = settings.distinct_models
    whole = read_whole(settings.data)
    outcome = Outcome(data=data_facts(settings, whole) | {"protocol": WHOLE, "split": "all"})
    baseline = _baseline_predictions(whole, settings)
    for corpus in sorted(set(whole.corpora)):
        own = np.array(whole.corpora) == corpus
        clips = whole.chosen(own)
        outcome.results.append(_prior(corpus, clips))
        if isinstance(baseline, str):
            outcome.not_run(mfcc_baseline.NAME, baseline, corpus=corpus)
        elif baseline is not None:
            table = baseline[own].reset_index(drop=True)
            result = mfcc_baseline.baseline_result(
                table,
                clips,
                whole.speakers[~own].tolist(),
                seed=settings.seed,
                corpus=corpus,
                protocol=WHOLE,
            )
            outcome.add(result, table, corpus=corpus)
        for model in models:
            name = portable(model.name)
            test = clips.without_speakers(model.speakers or ())
            if not set(EMOTIONS) <= set(model.emotions) and len(test.clips):
                test = test.of_emotions(model.emotions)
            if not len(test.clips):
                reason = ALL_SEEN.format(data=portable(settings.data))
                outcome.not_run(name, reason, corpus=corpus)
                continue
            test = test.limited(settings.limit, seed=settings.seed)
            predictor = CachedPredictor(model, test, settings)
            with outcome.timed(f"{name}, {corpus}"):
                table = predictor.predict()
            outcome.add(predictor.result(table, corpus=corpus), table, corpus=corpus)
        for folder in settings.folds:
            try:
                found = read_folds(folder, corpus=corpus, text=settings.text, seed=settings.seed)
            except EmptyError:
                continue
            outcome.add(*found)
    return outcome


def _baseline_predictions(whole: ClipSet, settings: Settings) -> pd.DataFrame | str | None:
    """Predict each corpus with the MFCC baseline trained on all others.

    Returns:
        predictions of all clips; the reason why there are none; or None with only one corpus.
    """
    if len(set(whole.corpora)) < 2:
        return None
    features = mfcc_baseline.Mfccs(settings.data)(whole)
    try:
        found = mfcc_baseline.cross_predict(
            features, whole.labels, whole.corpora, seed=settings.seed
        )
    except EvaluationError as error:
        return str(error)
    return prediction_table(whole, found)


def _prior(corpus: str, clips: ClipSet) -> Result:
    """The scores of always predicting the commonest emotion."""
    return {
        "kind": "prior",
        "corpus": corpus,
        "clips": len(clips.clips),
        "speakers": len(set(clips.speakers)),
        **prior([EMOTIONS[label] for label in clips.labels.tolist()]),
    }


def table(results: ResultsFile) -> str:
    """One block of lines per corpus, its prior first."""
    lines: list[tuple[str, ...]] = []
    figures: tuple[str, ...]
    for result in results["rows"]:
        kind, corpus = result["kind"], result["corpus"]
        if kind == "prior":
            name = f"always {result['commonest']} (UA: chance, 1/{result['emotions']})"
            figures = (percent(result["wa"]), percent(result["ua"]))
            lines.append(
                (corpus, name, *figures, str(result["clips"]), str(result["speakers"]), "")
            )
        elif kind == "not_run":
            figures = (NOT_RUN, NOT_RUN, "", "")
            lines.append((corpus, system_of(result), *figures, result["reason"]))
        else:
            name = system_of(result)
            if kind == "folds":
                name += f", {len(result['folds'])} speaker-disjoint folds"
            elif kind == "baseline":
                name += ", trained on the other corpora"
            figures = (*wa_and_ua(result), *counts(result))
            lines.append((corpus, name, *figures, overlap_cell(result)))
    header = ("Corpus", "System", "WA", "UA", "Clips", "Speakers", SEEN)
    notes = [
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
