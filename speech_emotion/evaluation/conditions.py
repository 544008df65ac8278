"""Degradations of a clip: noise, telephone, codecs, clipping, gain, reverberation, speed."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import soxr
from scipy import signal

from hub_model.audio import SAMPLING_RATE

Waveform = np.ndarray
"""float32 (num_samples,), mono, 16 kHz, within -1 to 1."""

Transform = Callable[[Waveform, np.random.Generator], Waveform]

MU = 255
REVERBERATION_S = 0.6
"""Reverberation time (RT60) of the synthetic room."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition.

    Attributes:
        key: its name in results files.
        name: its name in tables.
        group: name of the curve it belongs to; "" for none.
        level: its position on the curve.
        transform: the degradation; None leaves a clip as it is.
        encoder: the ffmpeg encoder that it needs.
    """

    key: str
    name: str
    group: str = ""
    level: float | None = None
    transform: Transform | None = None
    encoder: str | None = None

    def apply(self, waveform: Waveform, *, seed: int) -> Waveform:
        """Degrade one clip.

        Args:
            waveform: see :data:`Waveform`.
            seed: same seed, same clip.

        Raises:
            CodecError: ffmpeg fails.
        """
        if self.transform is None:
            return waveform
        rng = np.random.default_rng(seed)
        return np.clip(self.transform(waveform, rng), -1.0, 1.0).astype(np.float32)

    def missing(self) -> str | None:
        """Why it cannot be run on this machine; None when it can."""
        if self.encoder is None or self.encoder in _encoders():
            return None
        return f"needs ffmpeg with {self.encoder}"


class CodecError(RuntimeError):
    """ffmpeg could not code a clip; the message is one line."""


def noise(waveform: Waveform, rng: np.random.Generator, *, snr_db: float) -> Waveform:
    """Add white noise at a signal-to-noise ratio over the whole clip."""
    power = np.mean(np.square(waveform, dtype=np.float64))
    deviation = np.sqrt(power / 10 ** (snr_db / 10))
    return waveform + rng.normal(0.0, deviation, waveform.size)


def telephone(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """300 to 3400 Hz at 8 kHz, with 8-bit mu-law (ITU-T G.711)."""
    narrow = soxr.resample(waveform, SAMPLING_RATE, 8_000)
    band = signal.butter(4, (300, 3400), btype="bandpass", fs=8_000, output="sos")
    narrow = np.clip(signal.sosfilt(band, narrow), -1.0, 1.0)
    compressed = np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU)
    compressed = np.round(compressed * 127) / 127
    expanded = np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(MU)) / MU
    return _fitted(soxr.resample(expanded, 8_000, SAMPLING_RATE), waveform.size)


def clipping(waveform: Waveform, rng: np.random.Generator, *, share: float) -> Waveform:
    """Clip at a share of the peak, as an overdriven microphone does."""
    limit = share * np.abs(waveform).max()
    return np.clip(waveform, -limit, limit)


def gain(waveform: Waveform, rng: np.random.Generator, *, decibels: float) -> Waveform:
    """Amplify or attenuate; values above full scale are clipped."""
    return waveform * 10 ** (decibels / 20)


def reverberation(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A synthetic room: the direct sound, and decaying noise of the same energy (0 dB)."""
    time = np.arange(round(REVERBERATION_S * SAMPLING_RATE)) / SAMPLING_RATE
    tail = rng.normal(size=time.size) * 10 ** (-3 * time / REVERBERATION_S)
    tail[: SAMPLING_RATE // 100] = 0  # the first echo comes after 10 ms
    response = tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    wet = signal.fftconvolve(waveform, response)[: waveform.size]
    return wet * np.abs(waveform).max() / max(np.abs(wet).max(), 1e-9)


def speed(waveform: Waveform, rng: np.random.Generator, *, factor: float) -> Waveform:
    """Resample: faster or slower, with the pitch shifted accordingly."""
    return soxr.resample(waveform, SAMPLING_RATE, SAMPLING_RATE / factor)


def coded(
    waveform: Waveform, rng: np.random.Generator, *, encoder: str, container: str, kbits: int
) -> Waveform:
    """Encode and decode with ffmpeg; the codec's delay is kept."""
    raw = ("-f", "f32le", "-ar", str(SAMPLING_RATE), "-ac", "1")
    to = ("-c:a", encoder, "-b:a", f"{kbits}k", "-bitexact", "-f", container, "pipe:1")
    packed = _ffmpeg(*raw, "-i", "pipe:0", *to, given=waveform.astype("<f4").tobytes())
    return np.frombuffer(_ffmpeg("-i", "pipe:0", *raw, "pipe:1", given=packed), dtype="<f4")


CONDITIONS: tuple[Condition, ...] = (
    Condition(key="as_recorded", name="as recorded"),
    *(
        Condition(
            key=f"noise_{level}",
            name=f"white noise, {level} dB",
            group="signal-to-noise ratio in dB",
            level=level,
            transform=partial(noise, snr_db=level),
        )
        for level in (20, 10, 5, 0)
    ),
    Condition(key="telephone", name="telephone, 8-bit mu-law", transform=telephone),
    Condition(
        key="mp3",
        name="MP3, 32 kbit/s",
        transform=partial(coded, encoder="libmp3lame", container="mp3", kbits=32),
        encoder="libmp3lame",
    ),
    Condition(
        key="opus",
        name="Opus, 16 kbit/s",
        transform=partial(coded, encoder="libopus", container="ogg", kbits=16),
        encoder="libopus",
    ),
    *(
        Condition(
            key=f"clipping_{share}",
            name=f"clipped at {share} % of the peak",
            group="clipped at per cent of the peak",
            level=share,
            transform=partial(clipping, share=share / 100),
        )
        for share in (50, 25, 10)
    ),
    *(
        Condition(
            key=f"gain_{level}",
            name=f"gain {level:+d} dB",
            group="gain in dB",
            level=level,
            transform=partial(gain, decibels=level),
        )
        for level in (-20, -10, 10)
    ),
    Condition(key="reverberation", name="reverberation, 0.6 s", transform=reverberation),
    *(
        Condition(
            key=f"speed_{factor}",
            name=f"speed {factor}",
            group="speed",
            level=factor,
            transform=partial(speed, factor=factor),
        )
        for factor in (0.9, 1.1)
    ),
)
"""Every condition, in the order of the table; the first is the reference."""


def _fitted(waveform: Waveform, size: int) -> Waveform:
    return np.pad(waveform[:size], (0, max(0, size - waveform.size)))


def _ffmpeg(*arguments: str, given: bytes) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CodecError(f"ffmpeg: {lines[-1]}")
    return done.stdout


@cache
def _encoders() -> frozenset[str]:
    """Audio encoders of the installed ffmpeg; none without ffmpeg."""
    if shutil.which("ffmpeg") is None:
        return frozenset()
    listed = subprocess.run(
        ["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True, check=False
    )
    return frozenset(
        line.split()[1] for line in listed.stdout.splitlines() if line.startswith(" A")
    )
