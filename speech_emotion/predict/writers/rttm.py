"""RTTM: the turns of speakers, with the emotion as subtype and the score as confidence.

The ten fields are those of NIST's RT-09 plan: type, file, channel, start, duration, orthography,
subtype, name, confidence and lookahead. Readers of diarisation take the name and the times, and
pass over the others.
"""

from pathlib import Path

from speech_emotion.predict.writers.base import Result, readable
from speech_emotion.predict.writers.tiers import spoken


def as_rttm(file: str, result: Result) -> str:
    """Return a line for each segment with speech; without a speaker its name is the file's."""
    name = _field(Path(file).stem)
    return "".join(
        f"SPEAKER {name} 1 {part['start']:.3f} {part['end'] - part['start']:.3f} <NA> "
        f"{_field(part['label'])} {_field(part.get('speaker') or name)} {part['score']:.3f} <NA>\n"
        for part in spoken(result)
    )


def _field(text: str) -> str:
    """Text without white space, which divides the fields."""
    return "_".join(readable(text).split()) or "_"
