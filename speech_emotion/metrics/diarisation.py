"""Error rates over time: who speaks when, and which emotion is heard when.

Both count overlapping speech, have no collar, and are computed with pyannote.metrics (Bredin,
Interspeech 2017): ``pip install "speech-text-emotion[speakers]"``.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

Part = tuple[float, float, str]
"""Start and end in seconds, and a label: the name of a speaker, or an emotion."""


class Errors(NamedTuple):
    """Seconds of error, and the seconds that they are a share of."""

    missed: float
    false_alarm: float
    confused: float
    total: float

    @property
    def seconds(self) -> float:
        """All seconds of error."""
        return self.missed + self.false_alarm + self.confused

    @property
    def rate(self) -> float:
        """Share of error; more than 1 where more is wrong than there is."""
        return self.seconds / self.total


def diarisation_errors(
    reference: Iterable[Part], hypothesis: Iterable[Part], *, seconds: float
) -> tuple[Errors, dict[str, str]]:
    """The diarisation error rate of one recording, of the seconds of speech in the reference.

    Args:
        reference: who speaks when.
        hypothesis: the same as found; the names are its own.
        seconds: length of the recording.

    Returns:
        the errors under the best assignment of names, and that assignment, from found to true.

    >>> true, found = [(0, 4, "a"), (4, 8, "b")], [(0, 5, "x"), (5, 8, "y")]
    >>> errors, names = diarisation_errors(true, found, seconds=10)
    >>> errors.rate, names
    (0.125, {'x': 'a', 'y': 'b'})
    """
    from pyannote.metrics.diarization import DiarizationErrorRate

    metric = DiarizationErrorRate()
    true, found, uem = _annotation(reference), _annotation(hypothesis), _whole(seconds)
    return _errors(metric, true, found, uem), dict(metric.optimal_mapping(true, found, uem))


def emotion_errors(
    reference: Iterable[Part], hypothesis: Iterable[Part], *, seconds: float
) -> Errors:
    """The emotion diarisation error rate of one recording, of all of its seconds.

    It is that of Wang et al. (arXiv 2306.12991) and of ``speechbrain.utils.EDER``: the sum of
    missed emotion, false alarms and confusion over the length. There every moment has one emotion
    or none; where several people speak, each one's emotion counts here.

    The example is that of ``speechbrain.utils.EDER``:

    >>> true, found = [(0.39, 1.10, "angry")], [(0.6, 1.22, "angry")]
    >>> round(emotion_errors(true, found, seconds=1.22).rate, 6)
    0.270492
    """
    from pyannote.metrics.identification import IdentificationErrorRate

    true, found = _annotation(reference), _annotation(hypothesis)
    errors = _errors(IdentificationErrorRate(), true, found, _whole(seconds))
    return errors._replace(total=seconds)


def _errors(metric: Any, reference: Any, hypothesis: Any, uem: Any) -> Errors:
    found = metric(reference, hypothesis, uem=uem, detailed=True)
    names = ("missed detection", "false alarm", "confusion", "total")
    return Errors(*(float(found[name]) for name in names))


def _annotation(parts: Iterable[Part]) -> Any:
    from pyannote.core import Annotation, Segment

    found = Annotation()
    for track, (start, end, label) in enumerate(parts):
        found[Segment(start, end), track] = label
    return found


def _whole(seconds: float) -> Any:
    from pyannote.core import Segment, Timeline

    return Timeline([Segment(0, seconds)])
