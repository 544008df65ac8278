"""Made corpora in the published layout of all sources: real names, made sounds."""

import itertools
import wave
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile

from corpus_builder.sources.crema_d import SENTENCES

TRUE_COUNTS: Mapping[str, Mapping[str, int]] = {
    "crema_d": dict.fromkeys(("ANG", "DIS", "FEA", "HAP", "SAD"), 1271) | {"NEU": 1087},
    "savee": dict.fromkeys(("a", "d", "f", "h", "sa", "su"), 60) | {"n": 120},
    "tess": dict.fromkeys(("angry", "disgust", "fear", "happy", "ps", "sad", "neutral"), 400),
    "iemocap": {
        **{"ang": 1103, "hap": 595, "exc": 1041, "sad": 1084, "sur": 107, "fea": 40},
        **{"dis": 2, "fru": 1849, "neu": 1708, "oth": 3, "xxx": 2507},
    },
    "ravdess": {"01": 96} | {f"{code:02d}": 192 for code in range(2, 9)},
}
"""Clips per source label in each released corpus."""


def write_clip(path: Path, *, seconds: float = 1.2) -> None:
    """Write a clip that differs with its name; its pauses are as loud as its speech."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    rng = np.random.default_rng(list(path.name.encode()) + list(path.parent.name.encode()))
    samples = rng.integers(-3000, 3000, round(seconds * 16_000), dtype="<i2")
    if path.suffix != ".wav":
        soundfile.write(path, samples, 16_000)
        return
    with wave.open(str(path), "wb") as file:  # much faster, and there may be thousands
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def take(names: Iterable[str], counts: Mapping[str, int], key: slice | int | str) -> Iterator[str]:
    """Yield from ``names`` as many of each code as ``counts`` says; a code is ``split('_')``'s."""
    left = dict(counts)
    for name in names:
        code = name.split("_")[key] if isinstance(key, int) else name[key]
        if left.get(code):
            left[code] -= 1
            yield name
    assert not any(left.values()), left


def crema_d(counts: Mapping[str, int]) -> Iterator[str]:
    """Names below CREMA-D's root."""
    names = (
        f"{actor}_{sentence}_{emotion}_{level}"
        for level, sentence, actor, emotion in itertools.product(
            ("XX", "HI"), SENTENCES, range(1001, 1092), counts
        )
    )
    yield from (f"AudioWAV/{name}.wav" for name in take(names, counts, 2))


def savee(counts: Mapping[str, int]) -> Iterator[str]:
    """Names below SAVEE's root."""
    for code, count in counts.items():
        for speaker, number in itertools.product(("DC", "JE", "JK", "KL"), range(count // 4)):
            yield f"AudioData/{speaker}/{code}{number + 1:02d}.wav"


def tess(counts: Mapping[str, int]) -> Iterator[str]:
    """Names below TESS's root, in words that are none."""
    letters = "abcdefghijklmnopqrst"
    for emotion, count in counts.items():
        for speaker, index in itertools.product(("OAF", "YAF"), range(count // 2)):
            word = letters[index // 20] + letters[index % 20]
            yield f"{speaker}_{emotion}/{speaker}_{word}_{emotion}.wav"


def ravdess(counts: Mapping[str, int]) -> Iterator[str]:
    """Names below RAVDESS's root."""
    for code, count in counts.items():
        options = itertools.product((1, 2), (1, 2), (1, 2), range(1, 25))
        for intensity, statement, repetition, actor in itertools.islice(options, count):
            parts = ("03", "01", code, intensity, statement, repetition, actor)
            name = "-".join(f"{int(part):02d}" for part in parts)
            yield f"Actor_{actor:02d}/{name}.wav"


def nemo(counts: Mapping[str, int]) -> Iterator[str]:
    """Names below nEMO's root."""
    for emotion, count in counts.items():
        speakers = ("EB0", "IC0", "KS0", "MK0")
        for speaker, sentence in itertools.product(speakers, range(count // 4)):
            yield f"samples/{speaker}_{emotion}_{sentence + 1}.wav"


def write_iemocap(root: Path, counts: Mapping[str, int], *, seconds: float = 1.2) -> Path:
    """Write ``Session*`` with clips, labels and transcripts; dialogues hold 30 turns each."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    labels = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    for start in range(0, len(labels), 30):
        index = start // 30
        session = index % 5 + 1
        dialog = f"Ses0{session}{'FM'[index % 2]}_impro{index // 5:02d}"
        evaluation = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        texts = []
        for number, label in enumerate(labels[start : start + 30]):
            turn = f"{dialog}_{'FM'[number % 2]}{number:03d}"
            span = f"{number}.0000 - {number + 1}.5000"
            evaluation.append(f"[{span}]\t{turn}\t{label}\t[2.5000, 3.0000, 3.5000]")
            evaluation += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 3; dom  3;\t()", ""]
            texts.append(f"{turn} [{number:08.4f}-{number + 1:08.4f}]: Turn number {number}.")
            path = root / f"Session{session}" / "sentences" / "wav" / dialog / f"{turn}.wav"
            write_clip(path, seconds=seconds)
        for folder, lines in (("EmoEvaluation", evaluation), ("transcriptions", texts)):
            path = root / f"Session{session}" / "dialog" / folder / f"{dialog}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines))
    return root


def write_all(
    root: Path, counts: Mapping[str, Mapping[str, int]], *, seconds: float = 1.2
) -> dict[str, Path]:
    """Write corpora with so many clips of each source label; return their folders by name."""
    names = {"crema_d": crema_d, "savee": savee, "tess": tess, "ravdess": ravdess, "nemo": nemo}
    for corpus, wanted in counts.items():
        if corpus == "iemocap":
            write_iemocap(root / corpus, wanted, seconds=seconds)
            continue
        for name in names[corpus](wanted):
            write_clip(root / corpus / name, seconds=seconds)
    return {corpus: root / corpus for corpus in counts}
