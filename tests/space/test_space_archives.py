"""Zip files of visitors: good clips are unpacked in order with safe names, unsafe ones refused."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from archives import safe_name, unpack
from clips import ClipError

from tests.helpers.space_server import ROOT

ANGRY = ROOT / "examples" / "angry.wav"
LIMITS = {"max_files": 5, "max_megabytes": 1.0}


def pack(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_audio_comes_out_in_the_order_of_the_archive(tmp_path):
    audio = ANGRY.read_bytes()
    packed = pack(
        tmp_path / "clips.zip",
        ("second/b.WAV", audio),
        ("README.txt", b"read me"),
        ("first/", b""),
        ("first/a.flac", b"1"),
        ("__MACOSX/first/._a.flac", b"notes"),
        ("first/._a.flac", b"notes"),
        ("first\\c.mp3", b"2"),
        ("./d.ogg", b"3"),
    )
    found = unpack(packed, tmp_path / "out", **LIMITS)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found] == [
        "second/b.WAV",
        "first/a.flac",
        "first/c.mp3",
        "d.ogg",
    ]
    assert found[0].read_bytes() == audio
    assert sorted(files_in(tmp_path / "out")) == sorted(found)


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        packed = pack(tmp_path / "clips.zip", ("a.wav", b"1"), ("a.wav", b"2"), ("?.wav", b"3"))
    found = unpack(packed, tmp_path / "out", **LIMITS)
    assert [path.name for path in found] == ["a.wav", "a-2.wav", "_.wav"]
    assert [path.read_bytes() for path in found] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("03-01-05-02-01-01-12.wav", "03-01-05-02-01-01-12.wav"),
        ("Grüße an 李.flac", "Grüße an 李.flac"),
        ("<img src=x onerror=alert(1)>.wav", "_img src=x onerror=alert(1)_.wav"),
        ("$(reboot)`ls`;&|\"'*.wav", "_(reboot)_ls_______.wav"),
        ("--version.wav", "version.wav"),
        ("...wav", "clip.wav"),
        ("a\nb\x1b[31m\u202egnp.wav", "a_b__31m_gnp.wav"),
        ("é" * 300 + ".wav", "é" * 50 + ".wav"),
    ],
)
def test_names_are_safe(name, safe):
    assert safe_name(name) == safe
    assert len(safe_name(name).encode()) < 255


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../a.wav", "leads out of its folder"),
        ("clips/../../a.wav", "leads out of its folder"),
        ("..\\a.wav", "leads out of its folder"),
        ("/etc/a.wav", "leads out of its folder"),
        ("\\\\server\\a.wav", "leads out of its folder"),
        ("C:\\a.wav", "leads out of its folder"),
        ("../<b>a</b>.txt", "leads out of its folder"),
        (link("a.wav"), "is a link"),
        (link("no-audio"), "is a link"),
    ],
)
def test_tricks_are_refused_and_nothing_is_written(tmp_path, name, words):
    packed = pack(tmp_path / "clips.zip", ("good.wav", b"good"), (name, b"/etc/passwd"))
    with pytest.raises(ClipError, match=words) as caught:
        unpack(packed, tmp_path / "out", **LIMITS)
    line = str(caught.value)
    assert "\n" not in line and "<" not in line
    assert files_in(tmp_path) == [packed]


def test_encrypted_archives_are_refused(tmp_path):
    packed = pack(tmp_path / "clips.zip", ("a.wav", b"1"))
    content = bytearray(packed.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # as the list of entries says it
    packed.write_bytes(content)
    with pytest.raises(ClipError, match="encrypted"):
        unpack(packed, tmp_path / "out", **LIMITS)


def test_other_methods_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "clips.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.wav", b"1" * 100)
    with pytest.raises(ClipError, match="unusual compression"):
        unpack(tmp_path / "clips.zip", tmp_path / "out", **LIMITS)


def test_too_much_and_too_many_are_refused(tmp_path):
    entries = [(f"{number}.wav", b"0" * 300_000) for number in range(4)]
    packed = pack(tmp_path / "large.zip", *entries)
    with pytest.raises(ClipError, match="too large: at most 1 MB"):
        unpack(packed, tmp_path / "out", **LIMITS)
    assert len(unpack(packed, tmp_path / "out", max_files=4, max_megabytes=1.2)) == 4
    with pytest.raises(ClipError, match="too many clips: at most 3"):
        unpack(packed, tmp_path / "more", max_files=3, max_megabytes=2)


def test_a_bomb_that_lies_of_its_length_is_stopped(tmp_path):
    """A header that claims 1000 bytes, before 50 MB of zeros."""
    packed = pack(tmp_path / "bomb.zip", ("a.wav", b"good"), ("bomb.wav", bytes(50_000_000)))
    content = packed.read_bytes()
    assert len(content) < 100_000
    lie = content.replace(struct.pack("<L", 50_000_000), struct.pack("<L", 1000))
    packed.write_bytes(lie)
    with pytest.raises(ClipError):
        unpack(packed, tmp_path / "out", **LIMITS)
    assert files_in(tmp_path) == [packed]


def test_overlapping_entries_are_stopped(tmp_path):
    """Many entries of the list that point at the same bytes, as in the bombs without layers."""
    packed = pack(tmp_path / "bomb.zip", ("a.wav", bytes(400_000)))
    with zipfile.ZipFile(packed) as archive:
        first = archive.infolist()[0]
    second, third = (zipfile.ZipInfo(name) for name in ("b.wav", "c.wav"))
    with zipfile.ZipFile(packed, "a") as archive:
        for entry in (second, third):
            for name in ("compress_type", "CRC", "compress_size", "header_offset"):
                setattr(entry, name, getattr(first, name))
            entry.file_size = 10
            archive.filelist.append(entry)
        archive._didModify = True
    with pytest.raises(ClipError):
        unpack(packed, tmp_path / "out", **LIMITS)
    assert files_in(tmp_path) == [packed]


def test_a_list_of_entries_that_fills_the_memory_is_not_read(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1000):
            entry = zipfile.ZipInfo(f"{number}.txt")
            entry.comment = bytes(5000)
            archive.writestr(entry, b"")
    packed = tmp_path / "many.zip"
    packed.write_bytes(buffer.getvalue())
    with pytest.raises(ClipError, match="too many entries"):
        unpack(packed, tmp_path / "out", **LIMITS)


def damaged(content: bytes) -> bytes:
    start = content.index(b"good" * 10)
    return content[:start] + b"evil" + content[start + 4 :]


@pytest.mark.parametrize(
    "change",
    [lambda content: b"", lambda content: b"no zip", lambda content: content[:-30], damaged],
    ids=["empty", "text", "cut", "changed"],
)
def test_what_is_no_zip_is_said(tmp_path, change):
    packed = tmp_path / "clips.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.wav", b"good" * 100)
    packed.write_bytes(change(packed.read_bytes()))
    with pytest.raises(ClipError, match="no zip file, or a damaged one"):
        unpack(packed, tmp_path / "out", **LIMITS)
    assert files_in(tmp_path) == [packed]


def test_a_zip_without_audio_is_said(tmp_path):
    packed = pack(tmp_path / "clips.zip", ("a.txt", b"text"))
    with pytest.raises(ClipError, match="holds no audio"):
        unpack(packed, tmp_path / "out", **LIMITS)
