"""Robustness: noise, telephone, codecs, clipping, gain, reverberation and speed."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.classifiers import decoded
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.conditions import CONDITIONS, CodecError, Condition
from speech_emotion.evaluation.tables import (
    ResultsFile,
    common_notes,
    first_of_each,
    line_of,
    markdown_table,
    points,
    scored,
    seen_note,
    with_notes,
)
from speech_emotion.training.parsing import option


class DecodedClips:
    """The clips as waveforms, decoded once, at the first use.

    Args:
        clips: the clips.
        workers: threads that degrade them.
        seed: of everything random.
    """

    def __init__(self, clips: ClipSet, *, workers: int, seed: int) -> None:
        self._clips, self._workers, self._seed = clips, workers, seed
        self._waveforms: list[np.ndarray | str] | None = None

    def under(self, condition: Condition) -> list[np.ndarray | str]:
        """Every clip under a condition, or its error line."""
        if self._waveforms is None:
            self._waveforms = [decoded(audio, clean=False) for audio in self._clips.clips["audio"]]
        # The seed of a clip does not depend on the other clips.
        names = self._clips.clips["utterance_id"][:]
        seeds = [zlib.crc32(f"{self._seed} {condition.key} {n}".encode()) for n in names]
        with ThreadPoolExecutor(max(1, self._workers)) as pool:
            return list(pool.map(partial(_degraded, condition), self._waveforms, seeds))


@dataclass(frozen=True, kw_only=True)
class RobustnessSettings(Settings):
    """Settings with the keys of the conditions; all when empty."""

    condition: tuple[str, ...] = option((), "only this condition (all)")


def run(settings: RobustnessSettings) -> Outcome:
    """Score every model under every condition.

    A clip is degraded first and then cleaned by the model, as in use. Predictions are cached, so
    that an interrupted run continues.

    Raises:
        EvaluationError: a model, the data or the name of a condition cannot be used.
    """
    wanted = settings.condition
    unknown = sorted(set(wanted) - {condition.key for condition in CONDITIONS})
    if unknown:
        known = ", ".join(condition.key for condition in CONDITIONS)
        raise EvaluationError(f"--condition {unknown[0]}: choose from {known}")
    outcome = Outcome()
    for predictor in predictors(settings, outcome):
        waveforms = DecodedClips(predictor.clips, workers=settings.workers, seed=settings.seed)
        for condition in CONDITIONS:
            if wanted and condition.key not in wanted:
                continue
            facts = {
                "condition": condition.key,
                "name": condition.name,
                "group": condition.group,
                "level": condition.level,
            }
            if reason := condition.missing():
                outcome.not_run(predictor.name, reason, **facts)
                continue
            with outcome.timed(f"{predictor.name}, {condition.name}"):
                table = predictor.predict(
                    clean=True,
                    condition=f"{condition.key} {settings.seed}",
                    waveforms=partial(waveforms.under, condition),
                )
            outcome.add(predictor.result(table, **facts), table, condition=condition.key)
    return outcome


def _degraded(condition: Condition, waveform: np.ndarray | str, seed: int) -> np.ndarray | str:
    if isinstance(waveform, str):
        return waveform
    try:
        return condition.apply(waveform, seed=seed)
    except CodecError as error:
        return str(error)


def table(results: ResultsFile) -> str:
    """One line per model and condition, with the difference from the clips as recorded."""
    reference = {
        result["system"]: result["scores"]["ua"]
        for result in scored(results)
        if result["condition"] == "as_recorded"
    }
    lines = []
    for result in results["rows"]:
        best = reference.get(result["system"])
        more: tuple[str, ...] = ()
        if "scores" in result:
            loss = "" if best is None else points(result["scores"]["ua"] - best)
            more = (loss, str(result["scores"]["unanswered"]))
        lines.append(line_of(result, result["name"], *more))
    header = ("System", "Condition", "WA", "UA", "UA against as recorded", "Without prediction")
    notes = [
        "A clip is degraded first, and then cleaned by the model as in use. A clip that the model "
        "refuses counts as an error.",
        "Noise is white; speed shifts the pitch; reverberation is synthetic, with an RT60 of 0.6 s "
        "and as much energy as the direct sound.",
        *map(seen_note, first_of_each(results)),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)
