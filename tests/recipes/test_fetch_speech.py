"""Free speech: the files of games, and which files of a package are speech."""

import io
import struct

import numpy as np
import pytest
import soundfile

from hub_model.audio import load_audio
from recipes.mini import fetch_speech
from recipes.mini.fetch_speech import GAME_RATE, FetchError, amazon_queen_lines, write_speech
from tests.helpers.toy_corpus import tone

SPOKEN = (127 * tone(300, seconds=1.0)[::2] + 128).astype(np.uint8)


def steel_sky(*files: tuple[int, bytes]) -> tuple[bytes, bytes]:
    """Index and data; the start of the second file is counted in units of 16 bytes."""
    index, data = struct.pack("<I", len(files)), b""
    for number, content in files:
        data += b"\0" * (-len(data) % 16)
        start = 1 << 23 | len(data) >> 4 if data else 0
        index += struct.pack("<H", number) + start.to_bytes(3, "little")
        index += (1 << 22 | len(content)).to_bytes(3, "little")
        data += content
    return index, data


def test_the_lines_of_a_game_are_those_of_its_speech(tmp_path):
    spoken = b"\x81" + bytes(21) + SPOKEN.tobytes()
    index, data = steel_sky((49_999, b"a picture"), (50_001, spoken), (56_000, b"music"))
    (tmp_path / "in" / "sky").mkdir(parents=True)
    (tmp_path / "in" / "sky" / "sky.dnr").write_bytes(index)
    (tmp_path / "in" / "sky" / "sky.dsk").write_bytes(data)
    (tmp_path / "out").mkdir()
    assert write_speech(tmp_path / "in", tmp_path / "out") == 1
    samples, rate = soundfile.read(tmp_path / "out" / "50001.flac")
    assert rate == GAME_RATE
    np.testing.assert_allclose(samples, (SPOKEN.astype(float) - 128) / 128, atol=1e-4)


def mp3() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(300, seconds=1.0), 16_000, format="MP3")
    return file.getvalue()


def amazon_queen(*files: tuple[str, bytes], compression: int = 1) -> bytes:
    head = b"QTBLCEM10\0\0\0" + bytes([compression]) + struct.pack(">H", len(files))
    start = len(head) + 21 * len(files)
    for name, content in files:
        head += name.encode().ljust(12, b"\0") + b"\1" + struct.pack(">II", start, len(content))
        start += len(content)
    return head + b"".join(content for _, content in files)


def test_the_other_game_has_its_lines_as_mp3(tmp_path):
    encoded = mp3()
    data = amazon_queen(("ROOM.PCX", b"a picture"), ("020001P2.SB", encoded), ("X.RL", b"music"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "queen.1c").write_bytes(data)
    (tmp_path / "out").mkdir()
    assert write_speech(tmp_path / "in", tmp_path / "out") == 1
    assert (tmp_path / "out" / "020001P2.mp3").read_bytes() == encoded
    assert load_audio(tmp_path / "out" / "020001P2.mp3").size > 15_000
    with pytest.raises(FetchError, match="not the version with speech as MP3"):
        list(amazon_queen_lines(amazon_queen(compression=0)))


def test_only_files_of_the_part_with_speech_are_copied(tmp_path):
    for name in ("voices/a/hello.ogg", "music/theme.ogg", "voices/a/readme.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    assert write_speech(tmp_path / "in", tmp_path / "out", part="/voices/") == 1
    assert (tmp_path / "out" / "voices" / "a" / "hello.ogg").is_file()


def test_what_cannot_be_fetched_is_one_line_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def fetch(name, folder):
        if name == "hedgewars-data":
            raise FetchError(f"{name}: no such package")
        folder.mkdir(parents=True)
        return 3

    monkeypatch.setattr(fetch_speech, "fetch", fetch)
    names = ["fillets-ng-data", "hedgewars-data", "asterisk-core-sounds"]
    assert fetch_speech.main([str(tmp_path), *names]) == 2
    said = capsys.readouterr()
    assert said.err == "recipes.mini.fetch_speech: hedgewars-data: no such package\n"
    assert said.out.splitlines() == [f"{name}: 3 files" for name in (names[0], names[2])]
    assert fetch_speech.main([str(tmp_path), names[0]]) == 0  # it is there already
    assert capsys.readouterr().out == ""


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="the program apt-get is needed"):
        fetch_speech.fetch("hedgewars-data", tmp_path / "out")
    assert not (tmp_path / "out").exists()
