"""Robustness: noise, telephone, codecs, clipping, gain, reverberation and speed."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.classifiers import decoded
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.conditions import CONDITIONS, CodecError, Condition


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


def run(settings: Settings, *, wanted: Sequence[str] = ()) -> Outcome:
    """Score every model under every condition.

    A clip is degraded first and then cleaned by the model, as in use.

    Args:
        settings: see :class:`Settings`; predictions are cached, so that an interrupted run
            continues.
        wanted: keys of conditions; all when empty.

    Raises:
        EvaluationError: a model, the data or the name of a condition cannot be used.
    """
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
