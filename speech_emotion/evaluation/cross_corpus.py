"""One corpus at a time: how a model does on each, and what knowing its labels alone would give."""

from collections import Counter

import numpy as np
import pandas as pd

from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError, baseline
from speech_emotion.evaluation.clips import WHOLE, ClipSet, EmptyError, is_raw_folder, read_whole
from speech_emotion.evaluation.folds import read_folds
from speech_emotion.evaluation.leaks import Heard
from speech_emotion.evaluation.measuring import (
    Asker,
    Outcome,
    Row,
    Settings,
    Timer,
    data_facts,
    facts_of,
)
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import prediction_table, score

HEARD_ALL = (
    "it heard every speaker of it; `python train.py --config configs/mini.yaml --data {data} "
    "--corpora OTHERS --out FOLDER` trains one that did not"
)


def run(settings: Settings) -> Outcome:
    """Score every model on each corpus of the data, on speakers that it has not heard.

    Cross-validations given as ``folds`` are scored on each corpus whose folds they tested.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    if is_raw_folder(settings.data):
        raise EvaluationError(
            f"--data {settings.data}: not a built corpus; python -m corpus_builder build makes one"
        )
    models = settings.distinct_models
    whole = read_whole(settings.data)
    outcome = Outcome(data=data_facts(settings, whole) | {"protocol": WHOLE, "split": "all"})
    yardstick = _yardstick(whole, settings)
    for corpus in sorted(set(whole.corpora)):
        own = np.array(whole.corpora) == corpus
        clips = whole.chosen(own)
        outcome.rows.append(_prior(corpus, clips))
        if isinstance(yardstick, str):
            outcome.rows.append(_not_run(corpus, baseline.NAME, yardstick))
        elif yardstick is not None:
            table = yardstick[own].reset_index(drop=True)
            heard = Heard(speakers=frozenset(whole.speakers[~own]))
            outcome.rows.append(_yardstick_row(corpus, clips, table, heard, settings))
            outcome.tables.append(table.assign(system=baseline.NAME, corpus=corpus))
        for model in models:
            name = portable(model.name)
            test = clips.without_speakers(model.speakers or ())
            if not set(EMOTIONS) <= set(model.emotions) and len(test.clips):
                test = test.of_emotions(model.emotions)
            if not len(test.clips):
                reason = HEARD_ALL.format(data=portable(settings.data))
                outcome.rows.append(_not_run(corpus, name, reason))
                continue
            asker = Asker(model, test.limited(settings.limit, seed=settings.seed), settings)
            with Timer(outcome, f"{name}, {corpus}"):
                table = asker.table()
            outcome.rows.append(asker.row(table, corpus=corpus))
            outcome.tables.append(table.assign(system=name, corpus=corpus))
        for folder in settings.folds:
            try:
                row, table = read_folds(
                    folder, corpus=corpus, text=settings.text, seed=settings.seed
                )
            except EmptyError:
                continue
            outcome.rows.append(row)
            outcome.tables.append(table)
    return outcome


def _yardstick(whole: ClipSet, settings: Settings) -> pd.DataFrame | str | None:
    """Train on all corpora but one and answer that one, for every corpus.

    Returns:
        predictions of all clips; the reason why there are none; or None with only one corpus.
    """
    if len(set(whole.corpora)) < 2:
        return None
    features = baseline.Mfccs(settings.data)(whole)
    try:
        found = baseline.from_the_others(features, whole.labels, whole.corpora, seed=settings.seed)
    except EvaluationError as error:
        return str(error)
    return prediction_table(whole, found)


def _yardstick_row(
    corpus: str, clips: ClipSet, table: pd.DataFrame, heard: Heard, settings: Settings
) -> Row:
    return {
        "kind": "baseline",
        "system": baseline.NAME,
        "corpus": corpus,
        "protocol": WHOLE,
        **facts_of(heard, clips),
        "scores": score(table, seed=settings.seed),
    }


def _prior(corpus: str, clips: ClipSet) -> Row:
    """What always answering the commonest emotion gives."""
    counts = Counter(EMOTIONS[label] for label in clips.labels.tolist())
    commonest = max(counts, key=counts.get)
    return {
        "kind": "prior",
        "corpus": corpus,
        "clips": len(clips.clips),
        "speakers": len(set(clips.speakers)),
        "emotions": len(counts),
        "commonest": commonest,
        "wa": counts[commonest] / len(clips.clips),
        "ua": 1 / len(counts),
    }


def _not_run(corpus: str, system: str, reason: str) -> Row:
    return {"kind": "not_run", "corpus": corpus, "system": system, "reason": reason}
