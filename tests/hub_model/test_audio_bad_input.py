"""A clip that cannot be used is refused in one clear line that names it."""

import io
import struct

import numpy as np
import pytest
import soundfile

from hub_model.audio import AudioError, load_audio
from tests.helpers.sounds import encode, tone

CLIP = tone(noise=0)


def bad_files() -> dict[str, tuple[bytes, str]]:
    wav, flac, ogg = encode(CLIP), encode(CLIP, format="FLAC"), encode(CLIP, format="OGG")
    long_ogg = encode(tone(seconds=3, noise=0.1), format="OGG")
    nan, infinite = CLIP.copy(), CLIP.copy()
    nan[700], infinite[700] = np.nan, -np.inf
    return {
        "text.wav": (b"this is no audio\n" * 20, "not an audio file"),
        "empty.wav": (b"", "empty file"),
        "no-samples.wav": (encode(CLIP[:0]), "no samples"),
        "short.wav": (encode(CLIP[4000:4800]), "0.050 s of audio, at least 0.1 s is needed"),
        "zeros.wav": (encode(CLIP * 0), "silent from start to end"),
        "constant.wav": (encode(np.full(16_000, 0.4)), "silent from start to end"),
        "constant-8k.wav": (encode(np.full(8_000, 0.4), 8_000), "silent from start to end"),
        "nan.wav": (encode(nan, subtype="FLOAT"), "NaN or infinite"),
        "infinite.wav": (encode(infinite, subtype="DOUBLE"), "NaN or infinite"),
        "cut.wav": (wav[: len(wav) // 2], "truncated, 15978 of 32000 bytes"),
        "cut-header.wav": (wav[:30], "truncated"),
        "cut.flac": (flac[: len(flac) // 2], "not an audio file|truncated"),
        "cut-at-the-end.flac": (flac[:-10], "not an audio file|truncated"),
        "cut.ogg": (long_ogg[: len(long_ogg) // 2], "truncated"),
        "cut-at-the-end.ogg": (ogg[:-10], "truncated"),
        "cut.mp3": (encode(CLIP, format="MP3")[:1200], "truncated"),
        "wrong-rate.wav": (wav[:24] + struct.pack("<I", 0) + wav[28:], "rate|not an audio file"),
        "hours.wav": (hours(), "3700 s of audio, at most 3600 s"),
    }


def hours() -> bytes:
    """Over an hour in a small file: silence takes no room in FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(1000 * 3700, dtype=np.int16), 1000, format="FLAC")
    return buffer.getvalue()


BAD_FILES = bad_files()


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name, tmp_path):
    data, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for source, shown in ((path, str(path)), ({"bytes": data, "path": f"far/{name}"}, name)):
        with pytest.raises(AudioError, match=message) as error:
            load_audio(source)
        assert str(error.value).startswith(f"{shown}: ")
        assert "\n" not in str(error.value)
    with pytest.raises(AudioError, match=message):
        load_audio(data)


def test_missing_file_folder_and_odd_names(tmp_path):
    for path, message in (
        (tmp_path / "missing.wav", "no such file"),
        (tmp_path, "a folder, not an audio file"),
        (tmp_path / "clip.wav" / "inside", "no such file|cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("two\nlines.wav", "no such file"),
        ("nul\0.wav", "not the name of a file"),
    ):
        for source in (path, str(path), {"path": str(path)}):
            with pytest.raises(AudioError, match=message) as error:
                load_audio(source)
            assert "\n" not in str(error.value)


def test_flac_stream_of_unknown_length(monkeypatch):
    """libsndfile cannot read it to its end; ffmpeg can."""
    file = bytearray(encode(CLIP, format="FLAC"))
    file[21] &= 0xF0  # the 36 bits that count the samples
    file[22:26] = bytes(4)
    np.testing.assert_array_equal(load_audio(bytes(file)), load_audio(encode(CLIP, format="FLAC")))
    monkeypatch.setattr("hub_model.ffmpeg.shutil.which", lambda name: None)
    with pytest.raises(AudioError, match="ffmpeg, which knows more formats, is not installed"):
        load_audio(bytes(file))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.array([], dtype=np.float32), "no samples"),
        (np.zeros((0, 2), dtype=np.float32), "no samples"),
        (CLIP[:800], "at least 0.1 s"),
        (np.zeros(16_000), "silent"),
        (np.full(16_000, 0.3), "silent"),
        (np.full(16_000, np.nan), "NaN or infinite"),
        (CLIP * np.float64(1e300), "NaN or infinite"),
        ((1000, np.zeros(1000 * 3601, dtype=np.int8)), "3601 s of audio, at most 3600 s"),
        (CLIP + 1j, "complex64"),
        (np.array(["a", "b"]), "expected samples of shape"),
        (np.array([object()] * 3), "expected samples of shape"),
        (np.zeros((2, 3, 4)), r"float64 \(2, 3, 4\)"),
        (np.ones((200, 200)), r"shape \(200, 200\) is not audio"),
        (np.float32(0.5), "expected samples of shape"),
        ([[0.1, 0.2], [0.3]], "do not form an array"),
        (None, "expected samples of shape"),
        (object(), "expected samples of shape"),
        ({}, "found nothing"),
        ({"bytes": None, "path": None}, "found 'bytes', 'path'"),
        ({"bytes": "RIFF"}, "expected bytes, got str"),
        ({"bytes": 5}, "expected bytes, got int"),
        ({"path": 3}, "must be text, not int"),
        ({"array": CLIP}, "an array needs its sampling_rate"),
        ({"array": CLIP, "sampling_rate": None}, "an array needs its sampling_rate"),
        ({"array": CLIP, "sampling_rate": 0}, "a sampling rate of 0 Hz"),
        ({"array": CLIP, "sampling_rate": "16000"}, "a sampling rate of 16000 Hz"),
        ((0, CLIP), "a sampling rate of 0 Hz"),
        ((-16_000, CLIP), "a sampling rate of -16000 Hz"),
        ((float("nan"), CLIP), "a sampling rate of nan Hz"),
        ((10**9, CLIP), "a sampling rate of 1000000000 Hz"),
    ],
)
def test_bad_values(source, message):
    with pytest.raises(AudioError, match=message) as error:
        load_audio(source)
    assert "\n" not in str(error.value)


def test_bad_rate_of_a_bare_array():
    for rate in (0, -1, 999, float("inf")):
        with pytest.raises(AudioError, match="a sampling rate of"):
            load_audio(CLIP, sampling_rate=rate)


def test_a_decoder_that_fails():
    class Broken:
        """torchcodec finds damage in the middle of a file only when the samples are asked for."""

        def get_all_samples(self):
            raise RuntimeError("Failed to decode\nthe packet")

    with pytest.raises(AudioError, match="cannot be decoded") as error:
        load_audio(Broken())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [1600, 1601])
def test_a_tenth_of_a_second_is_enough(size):
    assert load_audio(CLIP[4000 : 4000 + size]).size == size
