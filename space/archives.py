"""Zip files of visitors, unpacked safely: audio files only, within limits, with safe names."""

import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from clips import ClipError

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".aac", ".amr", ".3gp"),
    *(".wma", ".webm", ".mp4", ".mkv", ".mov"),
)
"""File name endings of recordings; what libsndfile does not know needs ffmpeg."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other methods are rare, and LZMA allocates as much memory as the file says."""

LONGEST_LISTING = 4_000_000
"""Longest list of entries in bytes: some ten thousand entries."""

LONGEST_NAME = 50
"""Characters; at four bytes each, every file system still accepts the name."""

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
"""Exceptions of `zipfile` for damaged files; NotImplementedError is a RuntimeError."""

UNSAFE = re.compile(r"[^\w .,()+=@-]")


def unpack(
    zip_path: str | Path, folder: str | Path, *, max_files: int, max_megabytes: float
) -> list[Path]:
    """Unpack the audio files of a zip; other files are ignored.

    Unpacked bytes are counted, as lengths in headers may be wrong. If the archive is refused, all
    files are removed.

    Args:
        zip_path: the zip.
        folder: destination, with the archive's folders; characters with a meaning in a shell or a
            browser are replaced in names, and a name that exists gets a number.
        max_files: the largest number of audio files.
        max_megabytes: the largest sum of their lengths, unpacked, in units of 10^6 bytes.

    Returns:
        The files, in the archive's order.

    Raises:
        ClipError: it is no zip or a damaged one, has no audio, exceeds a limit, or has an
            encrypted file, a link, or a name that leads out of `folder`; one line.
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
    """A file that is refused if its list of entries is too long for the memory."""

    def read(self, size: int = -1) -> bytes:
        # `zipfile` reads the list at once, and everything else in small blocks.
        if size > LONGEST_LISTING:
            raise ClipError("The zip file holds too many entries.")
        return super().read(size)


def _audio_entries(archive: zipfile.ZipFile, *, max_files: int) -> list[zipfile.ZipInfo]:
    """Return the entries to unpack. Raises ClipError if any entry is unsafe."""
    audio = []
    for entry in archive.infolist():
        name, parts = entry.filename, _parts(entry)
        if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in parts:
            raise ClipError(f"The zip file is refused: {_shown(name)} leads out of its folder.")
        if entry.flag_bits & 1:
            raise ClipError("The zip file is encrypted: please upload one without a password.")
        # The upper half is the Unix file mode, or 0.
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ClipError(f"The zip file is refused: {_shown(name)} is a link or a device.")
        # macOS packs a metadata file beside each file, with the same suffix.
        metadata = "__MACOSX" in parts or (parts and parts[-1].startswith("._"))
        if entry.is_dir() or metadata or not name.lower().endswith(AUDIO_SUFFIXES):
            continue
        if entry.compress_type not in METHODS:
            raise ClipError("The zip file has an unusual compression: please use deflate, or none.")
        audio.append(entry)
        if len(audio) > max_files:
            raise ClipError(f"The zip file holds too many clips: at most {max_files} are accepted.")
    if not audio:
        raise ClipError(
            "The zip file holds no audio: WAV, FLAC, OGG, MP3, M4A and WebM files are read."
        )
    return audio


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return folders and name of an entry; some Windows programs write backslashes."""
    return PurePosixPath(entry.filename.replace("\\", "/")).parts


def safe_name(name: str) -> str:
    """Return a file name that is safe on every system and page; it keeps its suffix.

    >>> safe_name("<script>alert(1)</script>.wav")
    '_script_alert(1)_script_.wav'
    """
    name = UNSAFE.sub("_", unicodedata.normalize("NFC", PurePosixPath(name).name))
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    # A name with a dot or a dash at its start would be hidden, or read as an option.
    stem = stem.lstrip(".- ")[:LONGEST_NAME].rstrip() or "clip"
    return stem + suffix[:5]


def _free_name(path: Path) -> Path:
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free


def _shown(name: str) -> str:
    """Return a name that is safe in an error message."""
    return "/".join(UNSAFE.sub("_", part) for part in name.split("/"))[:LONGEST_NAME]


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
