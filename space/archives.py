"""A zip file from a stranger, unpacked with care: audio alone, within limits, under safe names."""

import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from clips import ClipError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others are rare, and LZMA sets aside as much memory as the file asks for."""

LONGEST_LISTING = 4_000_000
"""Bytes that a zip's own list of entries may take: some ten thousands of them."""

LONGEST_NAME = 50
"""Letters; of four bytes each, they still make a name that every file system takes."""

BLOCK = 1 << 16
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)
"""What `zipfile` raises for bytes that are no zip; NotImplementedError is a RuntimeError."""

UNSAFE = re.compile(r"[^\w .,()+=@-]")


def unpack(
    zip_path: str | Path, folder: str | Path, *, max_files: int, max_megabytes: float
) -> list[Path]:
    """Unpack the audio files of a zip; whatever else it holds is passed over.

    What a file's header claims of its length is not believed: bytes are counted while they come
    out. An archive that is refused leaves no file behind.

    Args:
        zip_path: the zip.
        folder: where the files go, in the archive's own folders; names lose every character that
            means something to a shell or a browser, and a name that is taken gets a number.
        max_files: the largest number of audio files.
        max_megabytes: the largest sum of their lengths, unpacked, in units of 10^6 bytes.

    Returns:
        The files, in the archive's order.

    Raises:
        ClipError: it is no zip or a damaged one, holds no audio, is larger than the limits, or
            holds an encrypted file, a link, or a name that leads out of `folder`; one line.
    """
    folder, limit = Path(folder), int(max_megabytes * 1e6)
    too_large = f"The zip file is too large: at most {max_megabytes:g} MB are accepted, unpacked."
    written: list[Path] = []
    try:
        with _Listed(zip_path) as file, zipfile.ZipFile(file) as archive:
            entries = _audio_entries(archive, max_files=max_files)
            if sum(entry.file_size for entry in entries) > limit:
                raise ClipError(too_large)
            size = 0
            for entry in entries:
                target = _free_name(folder.joinpath(*map(safe_name, _parts(entry))))
                target.parent.mkdir(parents=True, exist_ok=True)
                written.append(target)
                with archive.open(entry) as source, target.open("xb") as copy:
                    while block := source.read(BLOCK):
                        size += len(block)
                        if size > limit:
                            raise ClipError(too_large)
                        copy.write(block)
    except ClipError:
        _remove(written)
        raise
    except DAMAGED as error:
        _remove(written)
        raise ClipError("This is no zip file, or a damaged one: it cannot be unpacked.") from error
    return written


class _Listed(io.FileIO):
    """A file whose list of entries is refused when it would fill the memory."""

    def read(self, size: int = -1) -> bytes:
        # `zipfile` reads the list in one go, and all else in small blocks.
        if size > LONGEST_LISTING:
            raise ClipError("The zip file holds too many entries.")
        return super().read(size)


def _audio_entries(archive: zipfile.ZipFile, *, max_files: int) -> list[zipfile.ZipInfo]:
    """The entries to unpack. Raises ClipError when one of them, audio or not, is a trick."""
    audio = []
    for entry in archive.infolist():
        name, parts = entry.filename, _parts(entry)
        if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in parts:
            raise ClipError(f"The zip file is refused: {_shown(name)} leads out of its folder.")
        if entry.flag_bits & 1:
            raise ClipError("The zip file is encrypted: please upload one without a password.")
        # The upper half holds what Unix says of a file, where it was packed there; else nothing.
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ClipError(f"The zip file is refused: {_shown(name)} is a link or a device.")
        # macOS packs a file of its own notes beside each file, under the same suffix.
        notes = "__MACOSX" in parts or (parts and parts[-1].startswith("._"))
        if entry.is_dir() or notes or not name.lower().endswith(AUDIO_SUFFIXES):
            continue
        if entry.compress_type not in METHODS:
            raise ClipError("The zip file is packed in a rare way: please pack it as a plain zip.")
        audio.append(entry)
        if len(audio) > max_files:
            raise ClipError(f"The zip file holds too many clips: at most {max_files} are accepted.")
    if not audio:
        raise ClipError("The zip file holds no audio: WAV, FLAC, OGG and MP3 files are read.")
    return audio


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Folders and name of an entry; some programs on Windows write backslashes."""
    return PurePosixPath(entry.filename.replace("\\", "/")).parts


def safe_name(name: str) -> str:
    """One file name that is safe on every system and in every page; its suffix stays.

    >>> safe_name("<script>alert(1)</script>.wav")
    '_script_alert(1)_script_.wav'
    """
    name = UNSAFE.sub("_", unicodedata.normalize("NFC", PurePosixPath(name).name))
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    # A name may not start with a dot or a dash: it would be hidden, or read as an option.
    stem = stem.lstrip(".- ")[:LONGEST_NAME].rstrip() or "clip"
    return stem + suffix[:5]


def _free_name(path: Path) -> Path:
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free


def _shown(name: str) -> str:
    """A name as an error line may show it."""
    return "/".join(UNSAFE.sub("_", part) for part in name.split("/"))[:LONGEST_NAME]


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
