"""Two models on the same clips, with paired tests."""

from dataclasses import asdict

import pandas as pd

from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Result, Settings, data_facts, read_clips
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.models import open_model
from speech_emotion.evaluation.scoring import SCORES, ids_of
from speech_emotion.evaluation.tables import (
    SEEN,
    ResultsFile,
    common_notes,
    counts,
    interval_of,
    markdown_table,
    overlap_cell,
    p_value,
    points,
    scored,
    wa_and_ua,
    with_notes,
)


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
        predictor = CachedPredictor(model, clips, settings)
        with outcome.timed(predictor.name):
            table = predictor.predict()
        outcome.add(predictor.result(table), table)
    first, second = outcome.results
    outcome.results.append(
        {
            "kind": "difference",
            "first": first["system"],
            "second": second["system"],
            **difference(*outcome.predictions, seed=settings.seed),
        }
    )
    return outcome


def difference(first: pd.DataFrame, second: pd.DataFrame, *, seed: int) -> Result:
    """Difference of each score with its interval and p-value, and McNemar's test.

    Args:
        first: predictions of one model.
        second: predictions of the other on the same clips.
        seed: of the bootstrap.
    """
    references, predictions, speakers = ids_of(first)
    others = ids_of(second)[1]
    found: Result = {
        name: asdict(
            metrics.paired_bootstrap(
                figure, references, predictions, others, speakers=speakers, seed=seed
            )
        )
        for name, figure in SCORES.items()
    }
    return found | {"mcnemar": asdict(metrics.mcnemar(references, predictions, others))}


def table(results: ResultsFile) -> str:
    """Two models on the same clips, and the tests of their difference."""
    lines = [
        (f"`{result['system']}`", *wa_and_ua(result), *counts(result), overlap_cell(result))
        for result in scored(results)
    ]
    table = markdown_table(("System", "WA", "UA", "Clips", "Speakers", SEEN), lines)
    (found,) = (result for result in results["rows"] if result["kind"] == "difference")
    differences = markdown_table(
        (f"`{found['second']}` less `{found['first']}`", "Difference", "95 % interval", "p"),
        [
            (
                name.upper(),
                points(found[name]["difference"]),
                interval_of(found[name]["interval"]),
                p_value(found[name]["p_value"]),
            )
            for name in ("wa", "ua")
        ],
    )
    test = found["mcnemar"]
    notes = [
        "Differences in points, by a paired bootstrap over speakers, with the same draws for both.",
        f"McNemar's exact test over clips: only `{found['first']}` correct in "
        f"{test['only_first']}, only `{found['second']}` in {test['only_second']}, p "
        f"{p_value(test['p_value'])}. It treats clips of one speaker as independent, which they "
        "are not; the bootstrap does not.",
        *common_notes(results),
    ]
    return with_notes(table, differences, notes=notes)
