"""A small corpus of tones that the baselines can tell apart."""

from pathlib import Path

from tests.helpers.toy_corpus import flac, tone, write_corpus


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


def write_baseline_corpus(folder: Path) -> Path:
    """Six speakers in train, two in validation and in test, seven emotions each, clips of 1.3 s."""
    splits = {"train": range(6), "validation": range(6, 8), "test": range(8, 10)}
    return write_corpus(folder, **{name: rows(speakers) for name, speakers in splits.items()})
