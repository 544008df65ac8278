"""Clips: read within limits before the model is called, and drawn."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf
import soxr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_SECONDS = 0.1
MIN_RATE, MAX_RATE = 4_000, 384_000
SILENCE_RANGE = 1e-6
NOT_AUDIO = "This file could not be read as audio: WAV, FLAC, OGG, MP3, M4A and WebM files work."
FORMATS = "aac,amr,asf,matroska,mov,mp3,mpegts"
"""What ffmpeg may open: no playlists, which could make it read other files or addresses."""

DECODED_SECONDS = 100_000
"""Most audio that is decoded of a file, beyond every limit of a recording."""

PICTURE_RATE = 16_000
PICTURE_FRAMES = 800
MEL_BANDS = 80
MEL_TICKS = np.array([250, 500, 1000, 2000, 4000, 8000])
INK = "#808795"
FADING = ["#6366f100", "#6366f1", "#1e1b4b"]
"""From silence, which is transparent, for light and dark pages."""


class ClipError(ValueError):
    """A request that cannot be answered. The message is one line for the visitor."""


def counted(number: int, name: str) -> str:
    """Return a number with what is counted.

    >>> counted(1, "clip"), counted(2, "clip")
    ('1 clip', '2 clips')
    """
    return f"{number} {name}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Clip:
    """A decoded clip: float32 waveform (num_samples,), mono, and its sampling rate in Hz."""

    waveform: np.ndarray
    sampling_rate: int

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.waveform.size / self.sampling_rate

    def resampled(self, rate: int) -> np.ndarray:
        """Return the waveform at the given rate in Hz: float32 (num_samples,)."""
        if rate == self.sampling_rate:
            return self.waveform
        return soxr.resample(self.waveform, self.sampling_rate, rate)


def read_clip(
    path: str | Path | None, *, max_seconds: float, max_megabytes: float, stream: Any = None
) -> Clip:
    """Decode a file; at most the allowed length is held in memory.

    Args:
        path: the file.
        max_seconds, max_megabytes: limits.
        stream: see `mono_blocks`.

    Raises:
        ClipError: no file, too large, too long, too short, silent, or not audio.
    """
    if not path:
        raise ClipError("There is no clip yet: upload one, record one, or choose an example.")
    path = Path(path)
    if not path.is_file():
        raise ClipError("The clip is no longer on the server: please upload it again.")
    if path.stat().st_size > max_megabytes * 1e6:
        raise ClipError(f"The file is too large: at most {max_megabytes:g} MB are accepted.")
    rate, size = PICTURE_RATE, 0
    blocks: list[np.ndarray] = []
    for rate, block in mono_blocks(path, stream):
        blocks.append(block)
        size += block.size
        if size > max_seconds * rate:
            raise ClipError(f"The clip is too long: at most {max_seconds:g} seconds are accepted.")
    clip = Clip(np.concatenate(blocks) if blocks else np.zeros(0, np.float32), rate)
    if clip.seconds < MIN_SECONDS:
        raise ClipError(
            f"The clip is too short: {clip.seconds:.2f} s of audio, "
            f"at least {MIN_SECONDS} s is needed."
        )
    if not np.isfinite(clip.waveform).all():
        raise ClipError("The clip holds samples that are not numbers.")
    if np.ptp(clip.waveform) < SILENCE_RANGE:
        raise ClipError("The clip is silent from start to end.")
    return clip


def mono_blocks(path: Path, stream: Any = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the sampling rate in Hz and a mono block, float32 (num_samples,), after the other.

    Args:
        path: the file.
        stream: the decoder of a custom checkpoint, `Classifier.audio_stream`; without it,
            `opened` is used.

    Raises:
        ClipError: it is no audio, or damaged; one line.
    """
    if stream is None:
        with opened(path) as file:
            for block in file.blocks(file.samplerate, dtype="float32", always_2d=True):
                yield file.samplerate, block.mean(axis=1)
        return
    try:
        with stream(path) as audio:
            for block in audio.native():
                yield round(audio.rate), block
    except ValueError as error:  # AudioError of the checkpoint's code
        reason = str(error).removeprefix(f"{path}: ")
        if reason.startswith("no samples") or "is needed" in reason:
            return  # too short, which the caller says
        if "NaN" in reason:
            raise ClipError("The clip holds samples that are not numbers.") from error
        if "not an audio file" in reason or "empty file" in reason:
            raise ClipError(NOT_AUDIO) from error
        raise ClipError(f"{path.name}: {reason}") from error


@contextmanager
def opened(path: Path) -> Iterator[sf.SoundFile]:
    """Open an audio file for reading, for a stock model, which has no decoder of its own.

    Where the ffmpeg program is installed, it decodes what libsndfile does not know.

    Raises:
        ClipError: it is no audio, or becomes unreadable inside the `with` block; one line.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ser-") as folder,
            sf.SoundFile(_known(path, Path(folder))) as file,
        ):
            if not MIN_RATE <= file.samplerate <= MAX_RATE:
                raise ClipError(f"The sampling rate of {file.samplerate} Hz is not usable.")
            yield file
    except (sf.SoundFileError, RuntimeError, TypeError) as error:
        raise ClipError(NOT_AUDIO) from error


def _known(path: Path, folder: Path) -> Path:
    """Return a file that libsndfile reads: this one, or what ffmpeg writes into the folder."""
    program = shutil.which("ffmpeg")
    with suppress(sf.SoundFileError, RuntimeError, TypeError):
        sf.info(path)
        return path
    if program is None:
        return path
    safe = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
    decoded = folder / "decoded.flac"
    done = subprocess.run(
        [
            *(program, "-nostdin", "-v", "quiet", "-xerror", *safe, "-i", f"file:{path}"),
            *("-vn", "-t", str(DECODED_SECONDS), str(decoded)),
        ],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return path if done.returncode else decoded


def draw(clip: Clip) -> np.ndarray:
    """Draw the mel spectrogram: uint8 (height, width, 4).

    The background is transparent and the text grey, for light and dark pages.
    """
    # Imported where they are used, as a page that is being started needs none of them.
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from transformers.audio_utils import hertz_to_mel

    # pyplot keeps global state and is not safe with several requests at once; Figure is.
    figure = Figure(figsize=(6.4, 2.8), dpi=150, layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.imshow(
        _log_mel(clip.resampled(PICTURE_RATE)),
        origin="lower",
        aspect="auto",
        cmap=LinearSegmentedColormap.from_list("fading", FADING),
        extent=(0, clip.seconds, 0, hertz_to_mel(PICTURE_RATE / 2)),
    )
    axes.set_yticks(hertz_to_mel(MEL_TICKS), MEL_TICKS)
    axes.set_ylabel("Hz (mel scale)")
    axes.set_xlabel("seconds")
    return rendered(figure)


def rendered(figure: "Figure") -> np.ndarray:
    """Draw a figure with grey axes: uint8 (height, width, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=INK, labelsize=10)
        axes.xaxis.label.set(color=INK, fontsize=11)
        axes.yaxis.label.set(color=INK, fontsize=11)
        for spine in axes.spines.values():
            spine.set_color(INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def _log_mel(waveform: np.ndarray) -> np.ndarray:
    """Return the mel spectrogram in dB, 60 dB below its maximum at least: (80, num_frames)."""
    from transformers.audio_utils import mel_filter_bank, spectrogram

    window = 400
    hop = max(160, waveform.size // PICTURE_FRAMES)
    filters = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=MEL_BANDS,
        min_frequency=0.0,
        max_frequency=PICTURE_RATE / 2,
        sampling_rate=PICTURE_RATE,
    )
    return spectrogram(
        waveform,
        np.hanning(window),
        frame_length=window,
        hop_length=hop,
        fft_length=512,
        power=2.0,
        mel_filters=filters,
        mel_floor=1e-10,
        log_mel="dB",
        reference=1.0,
        db_range=60.0,
    )
