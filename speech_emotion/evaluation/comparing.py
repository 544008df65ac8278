"""Two models side by side on the same clips, with the paired tests."""

from typing import Any

from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.measuring import (
    Asker,
    Outcome,
    Settings,
    Timer,
    data_facts,
    read_clips,
)
from speech_emotion.evaluation.models import open_model
from speech_emotion.evaluation.scoring import ids_of

FIGURES = {"wa": metrics.wa, "ua": metrics.ua}


def run(settings: Settings) -> Outcome:
    """Score two models on the clips that both may be tested on, and test the difference.

    Raises:
        EvaluationError: they are not two, the data cannot be used, or it has one speaker.
    """
    if len(settings.models) != 2:
        raise EvaluationError(f"compare needs two models, not {len(settings.models)}")
    models = [open_model(name) for name in settings.models]
    clips = read_clips(settings, models)
    if len(set(clips.speakers)) < 2:
        raise EvaluationError(f"--data {settings.data}: a paired bootstrap needs two speakers")
    outcome = Outcome(data=data_facts(settings, clips))
    for model in models:
        asker = Asker(model, clips, settings)
        with Timer(outcome, asker.name):
            table = asker.table()
        outcome.rows.append(asker.row(table))
        outcome.tables.append(table.assign(system=asker.name))
    outcome.rows.append(_difference(outcome, settings))
    return outcome


def _difference(outcome: Outcome, settings: Settings) -> dict[str, Any]:
    references, first, speakers = ids_of(outcome.tables[0])
    second = ids_of(outcome.tables[1])[1]
    row: dict[str, Any] = {
        "kind": "difference",
        "first": outcome.rows[0]["system"],
        "second": outcome.rows[1]["system"],
    }
    for name, figure in FIGURES.items():
        found = metrics.paired_bootstrap(
            figure, references, first, second, speakers=speakers, seed=settings.seed
        )
        row[name] = {
            "difference": found.difference,
            "interval": list(found.interval),
            "p_value": found.p_value,
        }
    test = metrics.mcnemar(references, first, second)
    row["mcnemar"] = {
        "only_first": test.only_first,
        "only_second": test.only_second,
        "p_value": test.p_value,
    }
    return row
