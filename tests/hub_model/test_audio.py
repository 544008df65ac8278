"""Every way of handing over a clip gives the reference waveform, or one clear line."""

import struct
from pathlib import Path

import datasets
import librosa
import numpy as np
import pytest
import soundfile
import torch

from hub_model.audio import SAMPLING_RATE, audio_hash, load_audio
from tests.helpers.sounds import encode, tone

CLIP = tone(noise=0)

LOSSLESS = [
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-6),
    ("WAV", "PCM_U8", 1e-2),
    ("WAV", "FLOAT", 0),
    ("WAV", "DOUBLE", 0),
    ("WAV", "ULAW", 2e-2),
    ("WAV", "ALAW", 2e-2),
    ("FLAC", "PCM_S8", 1e-2),
    ("FLAC", "PCM_16", 1e-4),
    ("FLAC", "PCM_24", 1e-6),
    ("AIFF", "PCM_16", 1e-4),
    ("AU", "PCM_16", 1e-4),
    ("W64", "PCM_16", 1e-4),
    ("CAF", "PCM_16", 1e-4),
    ("RF64", "PCM_16", 1e-4),
]
LOSSY = [
    ("WAV", "IMA_ADPCM", 5e-2),
    ("WAV", "MS_ADPCM", 5e-2),
    ("WAV", "GSM610", 5e-2),
    ("OGG", "VORBIS", 2e-2),
    ("OGG", "OPUS", 4e-2),
    ("MP3", "MPEG_LAYER_III", 2e-2),
]


def assert_is_clip(waveform: np.ndarray, expected: np.ndarray = CLIP, atol: float = 1e-4) -> None:
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert abs(waveform.size - expected.size) <= 400  # coders that work in blocks fill the last
    size = min(waveform.size, expected.size)
    np.testing.assert_allclose(waveform[:size], expected[:size], atol=max(atol, 1e-9))


# Files.


@pytest.mark.parametrize(("container", "subtype", "atol"), LOSSLESS + LOSSY)
def test_containers_and_sample_formats(container, subtype, atol, tmp_path):
    path = tmp_path / f"clip.{container.lower()}"
    soundfile.write(path, CLIP, SAMPLING_RATE, format=container, subtype=subtype)
    waveform = load_audio(path)
    assert_is_clip(waveform, atol=atol)
    if (container, subtype, atol) in LOSSLESS:
        assert waveform.size == CLIP.size


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_rates(rate):
    waveform = load_audio(encode(tone(rate=rate, noise=0), rate, subtype="FLOAT"))
    assert waveform.size == CLIP.size
    assert_is_clip(waveform, atol=2e-3)


def test_resampling_folds_nothing_back():
    """A tone of 11 kHz has no place at 16 kHz and must not come out at 5 kHz."""
    both = tone(1000, rate=48_000, noise=0) + tone(11_000, rate=48_000, noise=0)
    assert_is_clip(load_audio(both, sampling_rate=48_000), tone(1000, noise=0), atol=3e-3)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_averaged(container, channels):
    gains = np.linspace(0.2, 1.0, channels, dtype=np.float32)
    file = encode(CLIP[:, None] * gains, format=container)
    assert_is_clip(load_audio(file), CLIP * gains.mean(), atol=2e-2)


def test_stereo_mp3():
    file = encode(np.stack([CLIP, CLIP * 0.5], axis=1), 44_100, format="MP3")
    assert_is_clip(load_audio(file), load_audio(CLIP * 0.75, sampling_rate=44_100), atol=3e-2)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_with_a_header_that_was_never_filled_in(size):
    """What sox, arecord and ffmpeg write into a pipe."""
    file = encode(CLIP)
    assert file[36:40] == b"data"
    streamed = file[:4] + b"\xff" * 4 + file[8:40] + struct.pack("<I", size) + file[44:]
    waveform = load_audio(streamed)
    assert waveform.size == CLIP.size
    assert_is_clip(waveform)


def test_wav_with_other_chunks_around_its_samples():
    file = encode(CLIP)
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # of odd size, so padded
    body = file[12:36] + note + file[36:] + note
    assert_is_clip(load_audio(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body))


def test_mp3_without_a_length_in_its_header():
    """As ffmpeg writes it into a pipe: libsndfile guesses the length from the first frame."""
    clip = tone(seconds=5, noise=0.1, rate=44_100)
    coded = {
        mode: encode(clip, 44_100, format="MP3", bitrate_mode=mode, compression_level=0.5)
        for mode in ("CONSTANT", "AVERAGE", "VARIABLE")
    }
    assert all(5.0 <= load_audio(file).size / SAMPLING_RATE < 5.1 for file in coded.values())
    for file in coded.values():
        assert 5.0 <= load_audio(without_length(file)).size / SAMPLING_RATE < 5.1


def without_length(file: bytes) -> bytes:
    """An MP3 file without its first frame, which holds nothing but the length."""
    second = file.index(file[:2], 100)
    assert b"Xing" in file[:second] or b"Info" in file[:second]
    return file[second:]


def test_mp3_with_a_tag_at_its_end():
    file = encode(tone(seconds=3, noise=0.1), format="MP3")
    tagged = file + b"TAG" + b"title".ljust(125, b"\0")
    np.testing.assert_array_equal(load_audio(tagged), load_audio(file))


def test_a_real_recording_gives_what_librosa_gives():
    folder = Path(__file__).parents[3] / "shared" / "data" / "RAVDESS"
    files = sorted(folder.rglob("*.flac"))[:2]
    if not files:
        pytest.skip("no recordings here")
    for file in files:
        expected, _ = librosa.load(file, sr=SAMPLING_RATE, res_type="soxr_hq")
        np.testing.assert_allclose(load_audio(file), expected, atol=1e-4)


# Arrays.


def as_integers(dtype: str) -> np.ndarray:
    info = np.iinfo(dtype)
    if info.min == 0:
        return np.round(CLIP.astype(float) * info.max / 2 + info.max / 2).astype(dtype)
    return np.round(CLIP.astype(float) * info.max).astype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64"])
def test_integers_are_scaled_by_their_range(dtype):
    bits = min(np.iinfo(dtype).bits, 22)
    assert_is_clip(load_audio(as_integers(dtype)), atol=4 / 2**bits)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats(dtype):
    assert_is_clip(load_audio(CLIP.astype(dtype)), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_channels_first_and_last(channels):
    gains = np.linspace(0.2, 1.0, channels, dtype=np.float32)
    for array in (CLIP[:, None] * gains, (CLIP[:, None] * gains).T):
        waveform = load_audio(array)
        assert waveform.size == CLIP.size
        assert_is_clip(waveform, CLIP * gains.mean())


def test_full_scale_integers_stay_within_one():
    square = np.where(CLIP > 0, 32767, -32768).astype(np.int16)
    waveform = load_audio(square)
    assert waveform.min() == -1.0 and 0.9999 < waveform.max() <= 1.0


def decoder(file: bytes):
    """What datasets hands out for an audio column."""
    pytest.importorskip("torchcodec")
    rows = datasets.Dataset.from_dict({"audio": [{"bytes": file, "path": None}]})
    return rows.cast_column("audio", datasets.Audio())[0]["audio"]


FILE = encode(CLIP, subtype="PCM_24")
SOURCES = {
    "bytes": lambda folder: FILE,
    "bytearray": lambda folder: bytearray(FILE),
    "memoryview": lambda folder: memoryview(FILE),
    "path": lambda folder: folder / "clip.wav",
    "text": lambda folder: str(folder / "clip.wav"),
    "dict of bytes": lambda folder: {"bytes": FILE, "path": "elsewhere.wav"},
    "dict of bytes without a path": lambda folder: {"bytes": FILE, "path": None},
    "dict of a path": lambda folder: {"bytes": None, "path": str(folder / "clip.wav")},
    "dict of an array": lambda folder: {"array": CLIP, "sampling_rate": 16_000, "path": None},
    "dict of raw": lambda folder: {"raw": CLIP, "sampling_rate": 16_000},
    "array": lambda folder: CLIP,
    "list of floats": lambda folder: CLIP.tolist(),
    "tensor": lambda folder: torch.from_numpy(CLIP),
    "gradio": lambda folder: (16_000, as_integers("int16")),
    "gradio stereo": lambda folder: (16_000, np.stack([as_integers("int16")] * 2, axis=1)),
    "audio decoder": lambda folder: decoder(FILE),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source(kind, tmp_path):
    (tmp_path / "clip.wav").write_bytes(FILE)
    waveform = load_audio(SOURCES[kind](tmp_path))
    assert waveform.size == CLIP.size
    assert_is_clip(waveform)


def test_the_rate_of_every_source_is_used():
    slow = tone(rate=8_000, noise=0)
    for waveform in (
        load_audio(slow, sampling_rate=8_000),
        load_audio((8_000, slow)),
        load_audio((np.int64(8_000), slow)),
        load_audio({"array": slow, "sampling_rate": 8_000}),
        load_audio({"raw": slow}, sampling_rate=8_000),
        load_audio(decoder(encode(slow, 8_000))),
    ):
        assert_is_clip(waveform, atol=2e-3)


def test_a_decoder_of_a_stereo_file():
    assert_is_clip(load_audio(decoder(encode(np.stack([CLIP, CLIP * 0.5], axis=1)))), CLIP * 0.75)


def test_the_source_is_not_changed():
    array = as_integers("int16")
    before = array.copy()
    load_audio(array)
    load_audio(CLIP)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(CLIP, tone(noise=0))


# Hash.


def test_one_recording_has_one_hash_in_every_container():
    samples = (CLIP * 32767).astype(np.int16)
    hashes = {
        audio_hash(load_audio(encode(samples / 32768, format=container, subtype=subtype)))
        for container, subtype in (
            ("WAV", "PCM_16"),
            ("WAV", "PCM_24"),
            ("WAV", "FLOAT"),
            ("FLAC", "PCM_16"),
            ("FLAC", "PCM_24"),
            ("AIFF", "PCM_16"),
        )
    }
    hashes.add(audio_hash(load_audio(samples)))
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


def test_different_recordings_have_different_hashes():
    louder = CLIP.copy()
    louder[100] += 1e-3
    assert len({audio_hash(CLIP), audio_hash(CLIP[1:]), audio_hash(louder)}) == 3
