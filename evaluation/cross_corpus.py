"""One corpus at a time: how a model does on each, and what knowing its labels alone would give."""

from collections import Counter
from dataclasses import replace

import datasets
import numpy as np

from corpus_builder.labels import EMOTIONS
from corpus_builder.records import SPLITS
from evaluation import EvaluationError
from evaluation.clips import ClipSet, corpus_configurations, is_raw_folder, read_corpus
from evaluation.folds import read_folds
from evaluation.measuring import Asker, Outcome, Row, Settings, Timer, data_facts
from evaluation.models import open_model
from evaluation.provenance import portable

WHOLE = "natural"
"""The configuration that holds every recording once."""


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
    if WHOLE not in corpus_configurations(settings.data):
        raise EvaluationError(f"--data {settings.data}: has no configuration {WHOLE}")
    models = [open_model(name) for name in dict.fromkeys(settings.models)]
    parts = [read_corpus(settings.data, WHOLE, split) for split in SPLITS]
    whole = replace(parts[0], clips=datasets.concatenate_datasets([part.clips for part in parts]))
    outcome = Outcome(data=data_facts(settings, whole) | {"protocol": WHOLE, "split": "all"})
    for corpus in sorted(set(whole.corpora)):
        clips = whole.chosen(np.array(whole.corpora) == corpus)
        outcome.rows.append(_prior(corpus, clips))
        for model in models:
            name = portable(model.name)
            test = clips.without_speakers(model.speakers or ())
            if not set(EMOTIONS) <= set(model.emotions) and len(test.clips):
                test = test.of_emotions(model.emotions)
            if not len(test.clips):
                outcome.rows.append(_not_run(corpus, name, settings))
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
            except EvaluationError as error:
                if "empty split" not in str(error):
                    raise
                continue
            outcome.rows.append(row)
            outcome.tables.append(table)
    return outcome


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


def _not_run(corpus: str, name: str, settings: Settings) -> Row:
    return {
        "kind": "not_run",
        "corpus": corpus,
        "system": name,
        "reason": "it heard every speaker of it; "
        f"`python train.py --config configs/mini.yaml --data {portable(settings.data)} "
        "--corpora OTHERS --out FOLDER` trains one that did not",
    }
