"""Recordings are read whole, whatever their container, their name and the kind of source."""

import io
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE, AudioError, Cleaning, clean_audio, decode, load_audio
from hub_model.containers import streams_of
from hub_model.decoding import AudioStream
from hub_model.speech_activity import is_noise
from tests.helpers.containers import (
    CODECS,
    decoded_seconds,
    ffmpeg,
    needs_ffmpeg,
    write_containers,
)
from tests.helpers.sounds import encode, voice

FIRST, SECOND = voice(1.3, seed=1), voice(2.1, pitch=200, seed=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first voice in every container."""
    folder = tmp_path_factory.mktemp("containers")
    write_containers(folder, FIRST)
    return folder


@needs_ffmpeg
@pytest.mark.parametrize("name", CODECS)
def test_every_entry_reads_every_container_whole(files, tmp_path, name):
    path = files / name
    expected = decoded_seconds(path) * SAMPLING_RATE
    renamed = shutil.copy(path, tmp_path / "recording.dat")
    data = path.read_bytes()
    sources = [path, str(path), renamed, data, memoryview(data), io.BytesIO(data)]
    sources += [{"path": str(path), "bytes": None}, {"bytes": data, "path": "a.wav"}]
    for source in sources:
        assert load_audio(source).size == pytest.approx(expected, abs=0.05 * SAMPLING_RATE)
    with AudioStream(path) as stream:
        streamed = np.concatenate(list(stream))
    assert streamed.size == pytest.approx(expected, abs=0.05 * SAMPLING_RATE)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.flac"])
def test_joined_files_are_read_to_the_end(tmp_path, name):
    for part, clip in (("first", FIRST), ("second", SECOND)):
        (tmp_path / "in.wav").write_bytes(encode(clip))
        options = CODECS[name].split()
        options += ("-ar", "22050") if name == "a.flac" and part == "second" else ()
        ffmpeg("-i", tmp_path / "in.wav", *options, tmp_path / f"{part}-{name}")
    first, second = (tmp_path / f"{part}-{name}" for part in ("first", "second"))
    apart = sum(load_audio(path).size for path in (first, second))
    joined, notes = decode(first.read_bytes() + second.read_bytes())
    assert joined.size == pytest.approx(apart, abs=0.03 * SAMPLING_RATE)
    assert any("2 streams" in note for note in notes)


def wav(samples: bytes, *, size: int | None = None, after: bytes = b"") -> bytes:
    """A WAV file of 16-bit mono samples whose header gives this size."""
    size = len(samples) if size is None else size
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", size)
        + body
        + b"data"
        + struct.pack("<I", size)
        + samples
        + after
    )


PCM = (np.clip(FIRST, -1, 1) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("size", [0, len(PCM) + 8, len(PCM) + 1000, 0xFFFFFFFF])
def test_a_wrong_size_in_a_wav_header_is_noted(size):
    waveform, notes = decode(wav(PCM, size=size))
    np.testing.assert_array_equal(waveform, load_audio(wav(PCM)))
    assert bool(notes) == (size != 0xFFFFFFFF)


def test_more_samples_than_the_header_says():
    whole, half = load_audio(wav(PCM)), len(PCM) // 4 * 2
    both, notes = decode(wav(PCM) + wav(PCM))
    assert both.size == 2 * whole.size and any("2 streams" in note for note in notes)
    small = wav(PCM, size=half)
    small = small[:4] + struct.pack("<I", len(small) - 8) + small[8:]
    waveform, notes = decode(small)
    assert waveform.size == whole.size and any("too small" in note for note in notes)
    chunk = b"data" + struct.pack("<I", len(PCM) - half) + PCM[half:]
    np.testing.assert_array_equal(load_audio(wav(PCM[:half], after=chunk)), whole)
    empty = wav(b"", after=b"data" + struct.pack("<I", len(PCM)) + PCM)
    np.testing.assert_array_equal(load_audio(empty), whole)
    tagged = wav(PCM, after=b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert load_audio(tagged).size == whole.size


def test_whole_numbers_of_64_bits_are_read_by_their_range():
    samples = np.frombuffer(PCM, "<i2")
    expected = load_audio({"array": samples, "sampling_rate": 16_000})
    found = load_audio({"array": samples.astype(np.int64), "sampling_rate": 16_000})
    np.testing.assert_allclose(found, expected, atol=1e-6)


@needs_ffmpeg
def test_tracks_of_an_ogg_file_are_mixed(tmp_path):
    for name, clip in (("a.wav", FIRST), ("b.wav", SECOND)):
        (tmp_path / name).write_bytes(encode(clip))
    inputs = ("-i", tmp_path / "a.wav", "-i", tmp_path / "b.wav", "-map", 0, "-map", 1)
    ffmpeg(*inputs, "-c:a", "libvorbis", tmp_path / "two.ogg")
    waveform, notes = decode(tmp_path / "two.ogg")
    assert waveform.size == pytest.approx(SECOND.size, abs=800)
    assert any("2 audio tracks" in note for note in notes)


def test_an_empty_wav_with_other_chunks_has_no_samples():
    with pytest.raises(AudioError, match="no samples"):
        load_audio(wav(b"", after=b"LIST" + struct.pack("<I", 4) + b"INFO"))


def test_a_wav_that_lacks_a_second_is_truncated():
    with pytest.raises(AudioError, match="truncated"):
        load_audio(wav(PCM, size=len(PCM) + 32_000))


@pytest.mark.parametrize(
    "tail",
    [
        bytes(3000),
        b"APETAGEX" + bytes(200) + b"\xff\xfb" * 30,
        b"LYRICSBEGIN" + b"la " * 100 + b"LYRICS200",
    ],
    ids=["zeros", "APE", "Lyrics3"],
)
def test_what_follows_the_last_frame_of_an_mp3_is_no_sound(tail):
    whole = encode(SECOND, 44_100, format="MP3")
    np.testing.assert_array_equal(load_audio(whole + tail), load_audio(whole))


@needs_ffmpeg
def test_a_word_in_a_tag_is_no_length_header(tmp_path):
    (tmp_path / "in.wav").write_bytes(encode(np.concatenate([FIRST * 0, FIRST, SECOND])))
    made = tmp_path / "a.mp3"
    options = ("-ar", 44_100, "-q:a", 4, "-write_xing", 0)
    comment = ("-metadata", "comment=Information and Xing")
    ffmpeg("-i", tmp_path / "in.wav", *options, *comment, made)
    expected = (2 * FIRST.size + SECOND.size) / SAMPLING_RATE
    assert load_audio(made).size / SAMPLING_RATE == pytest.approx(expected, abs=0.06)


def test_an_ogg_without_its_end_mark_is_read():
    data = bytearray(encode(np.tile(SECOND, 6), format="OGG"))
    last = data.rfind(b"OggS")
    data[last + 5] &= ~4
    pages = bytes(data[:last])  # complete pages, as of a recorder that was switched off
    waveform, notes = decode(pages)
    assert 0 < waveform.size <= 6 * SECOND.size
    assert any("end mark" in note for note in notes)


@needs_ffmpeg
def test_speech_on_the_second_track_of_a_video(tmp_path):
    (tmp_path / "talk.wav").write_bytes(encode(SECOND))
    made = tmp_path / "a.mkv"
    silence = ("-f", "lavfi", "-t", "2.1", "-i", "anullsrc=r=16000:cl=mono")
    ffmpeg(
        *silence, "-i", tmp_path / "talk.wav", "-map", "0:a", "-map", "1:a", "-c:a", "flac", made
    )
    waveform, notes = decode(made)
    assert np.corrcoef(waveform[:30_000], SECOND[:30_000])[0, 1] > 0.99
    assert any("2 audio tracks" in note for note in notes)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize("seconds", [(5, 3), (3, 5)])
def test_tracks_of_a_video_are_read_to_the_end_of_the_longest(tmp_path, kind, seconds):
    made = tmp_path / f"a.{kind}"
    tones = [
        part
        for pitch, length in zip((300, 500), seconds, strict=True)
        for part in ("-f", "lavfi", "-t", length, "-i", f"sine={pitch}")
    ]
    ffmpeg(*tones, "-map", "0:a", "-map", "1:a", "-c:a", "aac", made)
    assert decode(made)[0].size / 16_000 == pytest.approx(5, abs=0.05)


def test_without_ffmpeg_libsndfile_still_reads_its_own(monkeypatch):
    monkeypatch.setattr("hub_model.ffmpeg.shutil.which", lambda name: None)
    assert load_audio(encode(FIRST, format="FLAC")).size == FIRST.size


def test_a_large_file_is_parsed_without_a_copy():
    data = encode(np.tile(SECOND, 20), 44_100, format="MP3")
    streams, notes = streams_of(data)
    assert len(streams) == 1 and not notes


# Channels.


@pytest.mark.parametrize("other", [-1.0, -0.98])
def test_channels_that_cancel_are_not_averaged(other):
    waveform, notes = decode(
        {"array": np.stack([FIRST, other * FIRST], 1), "sampling_rate": 16_000}
    )
    np.testing.assert_allclose(waveform, FIRST, atol=1e-6)
    assert any("cancel" in note for note in notes)


def test_channels_that_cancel_for_a_while():
    half = np.where(np.arange(FIRST.size) < FIRST.size // 2, FIRST, -FIRST)
    np.testing.assert_allclose(load_audio((16_000, np.stack([FIRST, half]))), FIRST, atol=1e-6)


def test_independent_and_silent_channels_are_averaged():
    for other in (SECOND[: FIRST.size], FIRST * 0):
        found = load_audio((16_000, np.stack([FIRST, other])))
        np.testing.assert_allclose(found, (FIRST + other) / 2, atol=1e-6)


# Level, offset and knocks.


@pytest.mark.parametrize("gain_db", [-80, -60, -40, 20, 40])
def test_cleaning_does_not_depend_on_the_level(gain_db):
    clip = np.concatenate([FIRST * 0, FIRST, FIRST * 0]).astype(np.float32)
    clip += np.random.default_rng(0).normal(0, 1e-4, clip.size).astype(np.float32)
    gain = np.float32(10 ** (gain_db / 20))
    for cleaning in (Cleaning(), Cleaning(voiced=True)):
        expected = clean_audio(clip, cleaning)
        found = clean_audio(load_audio(clip * gain), cleaning) / gain
        assert abs(found.size - expected.size) <= 256
    assert not is_noise(clip * gain)


@pytest.mark.parametrize("offset", [0.01, 0.1, 0.3, -0.3])
def test_a_constant_offset_hides_no_silence(offset):
    clip = np.concatenate([np.zeros(16_000), FIRST * 0.5, np.zeros(16_000)]).astype(np.float32)
    clip += np.random.default_rng(0).normal(0, 1e-4, clip.size).astype(np.float32)
    moved = clean_audio(clip + np.float32(offset))
    assert abs(moved.size - clean_audio(clip).size) < 0.1 * SAMPLING_RATE


@pytest.mark.parametrize("at", [0.02, 0.5, 0.9])
def test_a_knock_does_not_hide_the_voice(at):
    clip = (np.concatenate([FIRST, FIRST * 0, FIRST]) * 0.05).astype(np.float32)
    knocked = clip.copy()
    start = int(at * clip.size)
    knocked[start : start + 480] += np.hanning(480).astype(np.float32) * 0.9
    cleaned = clean_audio(knocked)
    assert abs(cleaned.size - clean_audio(clip).size) < 0.35 * SAMPLING_RATE
    assert np.abs(cleaned).max() < 0.5


# Arrays.


def test_soundfile_and_gradio_order_of_a_pair():
    samples, rate = soundfile.read(io.BytesIO(encode(FIRST)), dtype="float32")
    np.testing.assert_array_equal(load_audio((samples, rate)), load_audio((rate, samples)))


def test_a_file_object_must_be_binary(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encode(FIRST))
    with path.open("rb") as file:
        assert load_audio(file).size == FIRST.size
    with path.open(encoding="latin-1") as file, pytest.raises(AudioError, match="binary"):
        load_audio(file)


@pytest.mark.parametrize("turned", [False, True])
def test_a_batch_in_place_of_a_list_is_noted(turned):
    batch = np.stack([voice(0.5)] * 4)
    _, notes = decode(batch.T if turned else batch)
    assert notes == ["one recording with 4 channels; give several clips as a list"]
    assert decode(batch[:2])[1] == []
