"""Fetch free acted speech without labels from the packages of Debian, for distillation.

    python -m recipes.mini.fetch_speech runs/speech

Needs ``apt-get`` and ``dpkg``. Each source becomes a folder of audio files. Two games keep their
speech in one large file; its layout is that of the ScummVM engine, which plays them.
"""

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from corpus_builder.folders import files_below
from hub_model.audio import AUDIO_SUFFIXES
from speech_emotion.training.saving import replaced_folder

GAME_RATE = 11_025
"""Sampling rate in Hz of the speech of both games."""


class FetchError(Exception):
    """A package that cannot be had, or that is not laid out as it was."""


@dataclass(frozen=True)
class Source:
    """Some packages with speech.

    Args:
        packages: names in Debian.
        part: only files whose path holds this text are speech.
    """

    packages: tuple[str, ...]
    part: str = ""


SOURCES = {
    "fillets-ng-data": Source(("fillets-ng-data-cs", "fillets-ng-data-nl")),
    "hedgewars-data": Source(("hedgewars-data",), part="/voices/"),
    "asterisk-core-sounds": Source(
        tuple(f"asterisk-core-sounds-{language}-wav" for language in ("en", "es", "fr", "it", "ru"))
    ),
    "beneath-a-steel-sky": Source(("beneath-a-steel-sky",)),
    "flight-of-the-amazon-queen": Source(("flight-of-the-amazon-queen",)),
}


def fetch(name: str, folder: Path) -> int:
    """Write the speech of one source into a folder; return the number of files.

    Raises:
        FetchError: no such package, or no speech in it.
    """
    source = SOURCES[name]
    with tempfile.TemporaryDirectory() as work, replaced_folder(folder) as target:
        download = ["apt-get", "download", "-qq", *source.packages]
        try:
            subprocess.run(download, cwd=work, check=True, capture_output=True, text=True)
            for package in Path(work).glob("*.deb"):
                unpack = ["dpkg", "--extract", str(package), str(Path(work) / package.stem)]
                subprocess.run(unpack, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise FetchError(f"the program {error.filename} is needed") from error
        except subprocess.CalledProcessError as error:
            raise FetchError(f"{name}: {(error.stderr or '').strip()[-200:]}") from error
        target.mkdir(parents=True)
        count = write_speech(Path(work), target, source.part)
        if count == 0:
            raise FetchError(f"{name}: no speech in its packages")
    return count


def write_speech(package: Path, target: Path, part: str = "") -> int:
    """Copy or unpack the speech below a folder; return the number of files written."""
    count = 0
    for path in files_below(package):
        if path.name == "sky.dsk":
            speech = steel_sky_lines(path.with_suffix(".dnr").read_bytes(), path.read_bytes())
            for number, samples in speech:
                soundfile.write(target / f"{number}.flac", samples, GAME_RATE)
                count += 1
        elif path.name == "queen.1c":
            for name, encoded in amazon_queen_lines(path.read_bytes()):
                (target / f"{name}.mp3").write_bytes(encoded)
                count += 1
        elif path.suffix.lower() in AUDIO_SUFFIXES and part in path.as_posix():
            copy = target / path.relative_to(package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            count += 1
    return count


def steel_sky_lines(index: bytes, data: bytes) -> Iterator[tuple[int, np.ndarray]]:
    """Read the spoken lines of "Beneath a Steel Sky" (CD version).

    The index has a count and eight bytes for each file: number, start (in units of 16 bytes when
    its highest bit is set), size. Files 50000 to 55999 are speech: 22 bytes of header, then
    unsigned samples of 8 bits.

    Yields:
        number of the file, int16 samples ``(num_samples,)`` at :data:`GAME_RATE`.
    """
    (count,) = struct.unpack_from("<I", index)
    for entry in range(4, 4 + 8 * count, 8):
        number = int.from_bytes(index[entry : entry + 2], "little")
        start = int.from_bytes(index[entry + 2 : entry + 5], "little")
        size = int.from_bytes(index[entry + 5 : entry + 8], "little") & 0x3FFFFF
        if start >> 23:
            start = (start & 0x7FFFFF) << 4
        if 50_000 <= number < 56_000:
            samples = np.frombuffer(data[start + 22 : start + size], np.uint8)
            yield number, (samples.astype(np.int16) - 128) * 256


def amazon_queen_lines(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Read the spoken lines of "Flight of the Amazon Queen" (its file ``queen.1c``).

    After 13 bytes comes a count and 21 bytes for each file: name, bundle, start, size. Files
    ``*.SB`` are speech.

    Yields:
        name of the line without its suffix, the line as MP3.

    Raises:
        FetchError: not that file, or its speech is not MP3.
    """
    if data[:4] != b"QTBL" or data[12] != 1:
        raise FetchError("queen.1c: not the version with speech as MP3")
    (count,) = struct.unpack_from(">H", data, 13)
    for entry in range(15, 15 + 21 * count, 21):
        name = data[entry : entry + 12].rstrip(b"\0").decode("ascii")
        start, size = struct.unpack_from(">II", data, entry + 13)
        if name.endswith(".SB"):
            yield name.removesuffix(".SB"), data[start : start + size]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; a source that is there already is left as it is.

    Returns:
        0 when all sources are there; 2, with one line for each on standard error, when not.
    """
    parser = argparse.ArgumentParser(prog="recipes.mini.fetch_speech", description=__doc__)
    parser.add_argument("folder", type=Path, help="receives one folder for each source")
    parser.add_argument("sources", nargs="*", default=list(SOURCES), help="all when not given")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.sources) - set(SOURCES)):
        parser.error(f"unknown source {unknown[0]}; there are {', '.join(SOURCES)}")
    failed = False
    for name in options.sources:
        folder = options.folder / name
        if folder.is_dir():
            continue
        try:
            print(f"{name}: {fetch(name, folder)} files")
        except FetchError as error:
            failed = True
            print(f"recipes.mini.fetch_speech: {error}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
