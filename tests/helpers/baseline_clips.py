"""Rows of a small corpus of tones that the baselines can tell apart."""

from tests.helpers.toy_corpus import flac, tone


def rows(speakers: range, *, labels: range = range(7), seconds: float = 1.3) -> list[dict]:
    """One clip for each speaker and emotion; the emotion sets the pitch, the speaker the gender."""
    made = []
    for speaker in speakers:
        for label in labels:
            name = f"made-{speaker:02d}-{label}"
            waveform = tone(150 * 1.5**label + speaker, seconds=seconds, seed=speaker)
            made.append(
                {
                    "audio": {"bytes": flac(waveform), "path": f"{name}.flac"},
                    "label": label,
                    "corpus": "ravdess",
                    "speaker_id": f"made-{speaker:02d}",
                    "gender": ("female", "male")[speaker % 2],
                    "duration": seconds,
                    "utterance_id": name,
                    "source_id": name,
                    "audio_hash": name,
                }
            )
    return made
