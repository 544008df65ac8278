"""Make the example clips of this repository with espeak-ng: ``python scripts/make_examples.py``.

The clips are synthetic, so that anybody may copy them. They stand in for acted speech:
anger is loud, fast and wide in pitch, sadness slow, low and flat, happiness high and lively.
The same versions of espeak-ng and soxr give the same bytes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

SAMPLING_RATE = 16_000
MARGIN_SECONDS = 0.15
FADE_SECONDS = 0.01


@dataclass(frozen=True)
class Clip:
    """One sentence and the way it is spoken.

    voice: espeak-ng voice with its variant. rate: words a minute. pitch: 0 to 99.
    pitch_range: per cent of the voice's own pitch movement. peak: highest amplitude, 0 to 1.
    """

    sentence: str
    voice: str
    rate: int
    pitch: int
    pitch_range: int
    peak: float


CLIPS = {
    "angry": Clip(
        sentence="No! I said, do not touch my papers!",
        voice="en-us+m3",
        rate=205,
        pitch=90,
        pitch_range=190,
        peak=0.95,
    ),
    "sad": Clip(
        sentence="She left, and the house is empty.",
        voice="en-us+f4",
        rate=138,
        pitch=8,
        pitch_range=30,
        peak=0.30,
    ),
    "happy": Clip(
        sentence="We won! Come on, let us celebrate!",
        voice="en-us+f2",
        rate=190,
        pitch=90,
        pitch_range=220,
        peak=0.70,
    ),
}


def speak(clip: Clip) -> np.ndarray:
    """Return the clip as float32 (num_samples,), mono, 16 kHz, with a short silent margin."""
    markup = f'<speak><prosody range="{clip.pitch_range}%">{clip.sentence}</prosody></speak>'
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.wav"
        command = ["espeak-ng", "-m", "-z", "-v", clip.voice, "-s", str(clip.rate)]
        command += ["-p", str(clip.pitch), "-w", str(raw), markup]
        subprocess.run(command, check=True, capture_output=True)
        waveform, rate = sf.read(raw, dtype="float32")
    waveform = soxr.resample(waveform, rate, SAMPLING_RATE)
    spoken = np.flatnonzero(np.abs(waveform) > 0.01 * np.abs(waveform).max())
    waveform = waveform[spoken[0] : spoken[-1] + 1]
    ramp = np.linspace(0.0, 1.0, int(FADE_SECONDS * SAMPLING_RATE), dtype=np.float32)
    waveform[: ramp.size] *= ramp
    waveform[-ramp.size :] *= ramp[::-1]
    waveform *= clip.peak / np.abs(waveform).max()
    return np.pad(waveform, int(MARGIN_SECONDS * SAMPLING_RATE))


def main(argv: list[str] | None = None) -> int:
    """Write every clip as a 16-bit WAV file and return the exit code."""
    default = Path(__file__).resolve().parent.parent / "examples"
    parser = argparse.ArgumentParser(description="Make the example clips with espeak-ng.")
    parser.add_argument("--out", type=Path, default=default, help="folder to write into")
    out = parser.parse_args(argv).out
    if shutil.which("espeak-ng") is None:
        print("error: espeak-ng is not installed (apt-get install espeak-ng)", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    for name, clip in CLIPS.items():
        waveform = speak(clip)
        path = out / f"{name}.wav"
        sf.write(path, waveform, SAMPLING_RATE, subtype="PCM_16")
        print(f"{path}: {waveform.size / SAMPLING_RATE:.2f} s, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
