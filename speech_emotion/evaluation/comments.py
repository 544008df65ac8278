"""Text-only predictions of written comments: what the model makes of words without a voice."""

from typing import Any

import pandas as pd
from scipy.special import softmax

from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.classifiers import PipelineClassifier, load_classifier
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.tables import (
    ResultsFile,
    estimate,
    interval_note,
    markdown_table,
    with_notes,
)
from speech_emotion.training.goemotions import Comments, read_comments
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.text_only import text_only_logits

SPLIT = "test"
FIGURES = {"macro_f1": "Macro-F1", "ua": "UA"}
LABELS = {"seven emotions": len(EMOTIONS), "with neutral": len(EMOTIONS) + 1}
"""For each set of labels their number: the first labels of the model, and the comments of these."""


def run(settings: Settings) -> Outcome:
    """Text-only macro-F1 on the test comments of GoEmotions, folded to the labels of the model.

    ``--data`` is GoEmotions: a folder or its id on the Hub.

    Raises:
        EvaluationError: there are no such comments, or a model takes no text or has other labels.
    """
    try:
        comments = read_comments(settings.data, SPLIT)
    except ConfigError as error:
        raise EvaluationError(f"--data {error}") from error
    outcome = Outcome(data={"source": portable(settings.data), "split": SPLIT})
    for model in settings.distinct_models:
        name = portable(model.name)
        with outcome.timed(name):
            table = _predicted(model, comments, settings)
        result = {
            "kind": "model",
            "system": name,
            "weights_sha256": model.weights_sha256,
            "labels": _scores(table, settings.seed),
        }
        outcome.add(result, table)
    return outcome


def _predicted(model: Model, comments: Comments, settings: Settings) -> pd.DataFrame:
    """A line for each comment: true label, and the logit of each label."""
    classifier = load_classifier(model, text="none", trust_remote_code=settings.trust_remote_code)
    pipe: Any = classifier.pipe if isinstance(classifier, PipelineClassifier) else None
    if not getattr(pipe, "supports_text", False) or not pipe.model.config.use_text:
        raise EvaluationError(f"--model {model.name}: takes no text")
    names = [emotion for _, emotion in model.labels]
    if names not in ([*EMOTIONS], [*EMOTIONS, "neutral"]):
        raise EvaluationError(f"--model {model.name}: has other labels than the comments")
    logits = text_only_logits(pipe.model, pipe.processor, comments.texts)
    labels = ["neutral" if label is None else EMOTIONS[label] for label in comments.labels]
    shown = softmax(logits / model.temperature, axis=1)
    columns = {f"p_{name}": shown[:, index] for index, name in enumerate(names)}
    return pd.DataFrame({"comment": range(len(labels)), "label": labels, **columns})


def _scores(table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Scores in seven emotions, and in eight labels where the model has neutral."""
    found = {}
    for name, count in LABELS.items():
        classes = [*EMOTIONS, "neutral"][:count]
        if f"p_{classes[-1]}" not in table:
            continue
        rows = table[table["label"].isin(classes)]
        references = rows["label"].map({label: i for i, label in enumerate(classes)}).to_numpy()
        predictions = rows[[f"p_{label}" for label in classes]].to_numpy().argmax(axis=1)
        found[name] = {"comments": len(rows)} | {
            figure: {
                "value": score(references, predictions),
                "interval": metrics.bootstrap_interval(score, references, predictions, seed=seed),
            }
            for figure in FIGURES
            for score in [getattr(metrics, figure)]
        }
    return found


def table(results: ResultsFile) -> str:
    """Macro-F1 and UA for each set of labels."""
    lines = [
        (
            f"`{result['system']}`",
            name,
            *(estimate(found[figure]["value"], found[figure]["interval"]) for figure in FIGURES),
            str(found["comments"]),
        )
        for result in results["rows"]
        for name, found in result["labels"].items()
    ]
    notes = [
        "Without audio. Comments of the emotions only, among the seven labels; and all comments.",
        f"Figures in per cent with {interval_note(results).replace('speakers', 'comments')}",
        f"Data: GoEmotions (`{results['data']['source']}`), its {SPLIT} part, folded to the "
        "labels of the model; comments of two of them are left out.",
        f"Command: `{results['command']}`.",
    ]
    header = ("System", "Labels", *FIGURES.values(), "Comments")
    return with_notes(markdown_table(header, lines), notes=notes)
