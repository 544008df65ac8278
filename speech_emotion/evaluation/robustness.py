"""The same clips under every condition: noise, telephone, codecs, clipping, gain, room, speed."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from hub_model.audio import AudioError, load_audio
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.conditions import CONDITIONS, CodecError, Condition
from speech_emotion.evaluation.measuring import Outcome, Settings, Timer, askers


class DecodedClips:
    """The clips as waveforms, decoded once, when the first condition asks for them.

    Args:
        clips: what is decoded.
        workers: threads that degrade them; the work is done in libraries that run side by side.
        seed: of everything that is drawn.
    """

    def __init__(self, clips: ClipSet, *, workers: int, seed: int) -> None:
        self._clips, self._workers, self._seed = clips, workers, seed
        self._waveforms: list[np.ndarray | str] | None = None

    def under(self, condition: Condition) -> list[np.ndarray | str]:
        """Every clip under a condition, or the line saying why there is none."""
        if self._waveforms is None:
            self._waveforms = [_decoded(audio) for audio in self._clips.clips["audio"]]
        # A clip draws the same whichever clips stand beside it.
        names = self._clips.clips["utterance_id"][:]
        seeds = [zlib.crc32(f"{self._seed} {condition.key} {n}".encode()) for n in names]
        with ThreadPoolExecutor(max(1, self._workers)) as pool:
            return list(pool.map(partial(_degraded, condition), self._waveforms, seeds))


def run(settings: Settings, *, wanted: Sequence[str] = ()) -> Outcome:
    """Score every model under every condition.

    A clip is degraded first and cleaned by the model after that, as it would be in use.

    Args:
        settings: see :class:`Settings`; what was answered is kept in its cache, so that a stopped
            run goes on.
        wanted: keys of conditions; all when empty.

    Raises:
        EvaluationError: a model, the data or the name of a condition cannot be used.
    """
    unknown = sorted(set(wanted) - {condition.key for condition in CONDITIONS})
    if unknown:
        known = ", ".join(condition.key for condition in CONDITIONS)
        raise EvaluationError(f"--condition {unknown[0]}: choose from {known}")
    outcome = Outcome()
    for asker in askers(settings, outcome):
        decoded = DecodedClips(asker.clips, workers=settings.workers, seed=settings.seed)
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
                facts |= {"system": asker.name, "reason": reason}
                outcome.rows.append({"kind": "not_run", **facts})
                continue
            with Timer(outcome, f"{asker.name}, {condition.name}"):
                table = asker.table(
                    clean=True,
                    condition=f"{condition.key} {settings.seed}",
                    waveforms=partial(decoded.under, condition),
                )
            outcome.rows.append(asker.row(table, **facts))
            outcome.tables.append(table.assign(system=asker.name, condition=condition.key))
    return outcome


def _decoded(audio: dict) -> np.ndarray | str:
    try:
        return load_audio(audio)
    except AudioError as error:
        return str(error)


def _degraded(condition: Condition, waveform: np.ndarray | str, seed: int) -> np.ndarray | str:
    if isinstance(waveform, str):
        return waveform
    try:
        return condition.apply(waveform, seed=seed)
    except CodecError as error:
        return str(error)
