"""Recordings read block by block are what they are when read at once."""

import io
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from hub_model.decoding import BLOCK_S, AudioStream
from tests.helpers.sounds import encode, tone, voice

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def read(source) -> np.ndarray:
    with AudioStream(source) as stream:
        blocks = list(stream)
    assert all(block.dtype == np.float32 for block in blocks)
    assert max(block.size for block in blocks) <= (BLOCK_S + 1) * SAMPLING_RATE
    return np.concatenate(blocks)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_is_what_it_is_in_one_piece(tmp_path, rate, kind):
    sound = np.stack([tone(300, 23.4, rate=rate), tone(500, 23.4, rate=rate)], axis=1)
    path = tmp_path / f"clip.{kind.lower()}"
    path.write_bytes(encode(sound, rate, format=kind))
    expected = load_audio(path)
    for source in (path, path.read_bytes(), {"bytes": path.read_bytes(), "path": None}):
        found = read(source)
        assert found.size == expected.size
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_arrays():
    fast = tone(300, 23.4, rate=44_100)
    expected = load_audio((44_100, fast))
    for source in ((44_100, fast), {"array": fast, "sampling_rate": 44_100}):
        np.testing.assert_allclose(read(source), expected, atol=1e-6)


def test_the_length_is_known_beforehand(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(encode(tone(300, 2.5, rate=8000), 8000))
    with AudioStream(path) as stream:
        assert stream.seconds == pytest.approx(2.5)
    assert AudioStream(tone(300, 2.5)).seconds == pytest.approx(2.5)


def test_silence_is_read():
    assert not read(np.zeros(SAMPLING_RATE, dtype=np.float32)).any()


def bad_files() -> dict[str, tuple[bytes, str]]:
    clip = tone(300, 25)
    nan = clip.copy()
    nan[-1] = np.nan
    wav, flac = encode(clip), encode(clip, format="FLAC")
    ogg, mp3 = encode(clip, format="OGG"), encode(clip, format="MP3")
    return {
        "text.wav": (b"this is no audio\n" * 10, "not an audio file"),
        "empty.wav": (b"", "empty file"),
        "no-samples.wav": (encode(clip[:0]), "no samples"),
        "short.wav": (encode(clip[:800]), "at least 0.1 s"),
        "nan.wav": (encode(nan, subtype="FLOAT"), "NaN"),
        "cut.wav": (wav[: len(wav) // 2], "truncated"),
        "cut.flac": (flac[: len(flac) // 2], "truncated|cannot be decoded"),
        "cut.ogg": (ogg[: len(ogg) // 2], "truncated"),
        "cut.mp3": (mp3[: len(mp3) // 2], "truncated"),
        "rate.wav": (encode(clip[:1000], 500), "500 Hz is not usable"),
        "stream.flac": (flac[:18] + bytes([0, 0, 0, 0, 0, 0, 0, 0]) + flac[26:], "."),
    }


@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file_is_one_line(tmp_path, name):
    data, message = bad_files()[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AudioError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    with pytest.raises(AudioError, match=message):
        read(data)


def test_what_is_no_file(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        read(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="a folder"):
        read(tmp_path)
    with pytest.raises(AudioError, match="needs 'array'"):
        read({"path": None, "bytes": None})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read(tmp_path):
    path, data = tmp_path / "pipe", encode(tone(300, 2))
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    np.testing.assert_allclose(read(path), load_audio(data))
    writer.join()


# What libsndfile does not know.


@pytest.fixture
def talk(tmp_path):
    """Seconds of a voice in a container that only ffmpeg reads."""
    wav = tmp_path / "talk.wav"
    soundfile.write(wav, voice(12.5), SAMPLING_RATE)

    def convert(suffix: str):
        path = wav.with_suffix(suffix)
        subprocess.run(["ffmpeg", "-v", "error", "-i", wav, path], check=True)
        return path

    return convert


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".m4a", ".webm", ".mkv"])
def test_ffmpeg_reads_the_rest(talk, suffix):
    found = read(talk(suffix))
    assert found.size == pytest.approx(12.5 * SAMPLING_RATE, rel=0.01)
    expected = voice(12.5)
    size = min(found.size, expected.size)
    # Lossy, and perhaps shifted by the codec's delay: the envelopes are alike.
    envelope = [np.abs(x[: size // 800 * 800]).reshape(-1, 800).max(1) for x in (found, expected)]
    assert np.corrcoef(*envelope)[0, 1] > 0.95


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".m4a", ".webm", ".aac"])
def test_a_cut_file_is_an_error(talk, suffix):
    path = talk(suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="damaged or truncated|not an audio file"):
        read(path)


@needs_ffmpeg
def test_a_playlist_is_not_followed(tmp_path):
    wav = tmp_path / "secret.wav"
    wav.write_bytes(encode(tone(300, 2)))
    for name, text in {
        "list.m3u8": f"#EXTM3U\n#EXTINF:2,\n{wav}\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {wav.name}\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="not an audio file"):
            read(tmp_path / name)


def test_without_ffmpeg_the_error_says_so(tmp_path, monkeypatch):
    path = tmp_path / "talk.m4a"
    path.write_bytes(b"no audio that libsndfile knows")
    monkeypatch.setattr("hub_model.ffmpeg.shutil.which", lambda name: None)
    with pytest.raises(AudioError, match="ffmpeg, which knows more formats, is not installed"):
        read(path)


MEMORY = """
import resource, sys
from hub_model.decoding import AudioStream
def peak(path):
    with AudioStream(path) as stream:
        total = sum(block.size for block in stream)
    return total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
short, before = peak(sys.argv[1])
long, after = peak(sys.argv[2])
print(short, long, (after - before) / 1024)
"""


def test_memory_does_not_grow_with_length(tmp_path):
    """A file of 20 minutes is 77 MB as float32, of which nearly nothing is held."""
    block = np.round(voice(10) * 20000).astype(np.int16)
    for name, repeats in (("short", 6), ("long", 120)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", SAMPLING_RATE, 1) as file:
            for _ in range(repeats):
                file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "short.wav", tmp_path / "long.wav"],
        capture_output=True,
        text=True,
        check=True,
    )
    short, long, grown = map(float, done.stdout.split())
    assert (short, long) == (60 * SAMPLING_RATE, 1200 * SAMPLING_RATE)
    assert grown < 15


def test_a_wav_header_of_a_stream(tmp_path):
    """A writer that could not go back leaves a size that is not meant."""
    data = bytearray(encode(tone(300, 2)))
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff\xff\xff\xff"
    assert read(io.BytesIO(data).getvalue()).size == 2 * SAMPLING_RATE
