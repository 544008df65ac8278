"""Where results go: the screen, one file for all recordings, or one file for each."""

import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from speech_emotion.predict import PredictError

Result = dict[str, Any]
"""What the pipeline returns for a recording, or ``{"error": "one line"}``."""


class Writer(ABC):
    """Takes results in the order of the recordings."""

    def failed_before(self, files: Sequence[str]) -> int:
        """Of how many recordings an earlier run has written an error."""
        return 0

    @abstractmethod
    def missing(self, files: Sequence[str]) -> list[str]:
        """Return the recordings that have no result yet."""

    def example(self, files: Sequence[str]) -> str | None:
        """Return one of the recordings whose result can be compared, if there is one."""
        return None

    def compare(self, file: str, result: Result) -> None:  # noqa: B027
        """Refuse to go on where the result of :meth:`example` is now another one."""

    @abstractmethod
    def write(self, file: str, result: Result) -> None:
        """Take one result; when this returns, it survives a kill of the process."""

    def close(self) -> None:  # noqa: B027
        """Finish the output, after the last result."""


class Screen(Writer):
    """Standard output, without errors, which go to standard error only.

    Args:
        show: a recording and its result as text.
        header: text above the first result.
    """

    def __init__(self, show: Callable[[str, Result], str], *, header: str = "") -> None:
        self._show = show
        sys.stdout.write(header)

    def missing(self, files: Sequence[str]) -> list[str]:
        """All of them."""
        return list(files)

    def write(self, file: str, result: Result) -> None:
        """Print it at once."""
        if "error" not in result:
            sys.stdout.write(self._show(file, result))
            sys.stdout.flush()


CLOSE = 0.01
"""Scores of one model on one recording differ by less, whatever is computed in one batch."""


class OneFile(Writer):
    """One file to which results are appended, errors included.

    Args:
        path: the file.
        resume: keep the results in an existing file. A result that a killed process wrote only in
            part is dropped.
        header: first line of the file.

    Raises:
        PredictError: the file exists and ``resume`` is not set; it cannot be written; or it is of
            another kind.
    """

    errors = "surrogateescape"
    """How names of files that are not UTF-8 are written: as the bytes that they are."""

    def __init__(self, path: Path, *, resume: bool, header: str = "") -> None:
        self._path = path
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._example: dict[str, Any] | None = None
        refuse_existing(path, resume)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = ""
            if path.exists():
                text = path.read_bytes().decode("utf-8", errors="surrogateescape")
                kept, results = self._kept(path, text[: text.rfind("\n") + 1])
                self._done = {result["file"] for result in results}
                self._failed = {result["file"] for result in results if result.get("error")}
                self._example = next((row for row in results if not row.get("error")), None)
            _write_whole(path, kept or header, errors=self.errors)
            self._file = path.open("a", encoding="utf-8", errors=self.errors, newline="")
        except OSError as error:
            raise PredictError(f"--out {path}: {error.strerror}") from error

    def missing(self, files: Sequence[str]) -> list[str]:
        """Those that are not in the file."""
        return [file for file in files if self.name_of(file) not in self._done]

    def failed_before(self, files: Sequence[str]) -> int:
        """How many of the recordings have an error in the file."""
        return sum(self.name_of(file) in self._failed for file in files)

    def name_of(self, file: str) -> str:
        """The name of a recording, as the file has it."""
        return file

    def example(self, files: Sequence[str]) -> str | None:
        """The first of the recordings whose result is kept, if it is one of these."""
        names = {self.name_of(file): file for file in files}
        return names.get(self._example["file"]) if self._example else None

    def compare(self, file: str, result: Result) -> None:
        """Refuse to go on in a file whose results are those of another model.

        Args:
            file: of :meth:`example`.
            result: its result now.

        Raises:
            PredictError: the most likely label in the file, or its score, is another one; or the
                speakers, or the length of the first segment or window.
        """
        assert self._example is not None
        entries = self._example, self._first(result)
        before, now = (self._cut(one) for one in entries)
        if before[0] != now[0] or abs(before[1] - now[1]) > CLOSE:
            raise PredictError(
                f"--out {self._path}: holds results of other speakers or windows ({file}: "
                f"{before[0]} {before[1]:.2f} s there, {now[0]} {now[1]:.2f} s now); name another "
                "file"
            )
        kept, found = (self._answer(one) for one in entries)
        if kept[0] != found[0] or abs(kept[1] - found[1]) > CLOSE:
            raise PredictError(
                f"--out {self._path}: holds results of another model or of other options ({file}: "
                f"{kept[0]} {kept[1]:.2f} there, {found[0]} {found[1]:.2f} now); name another file"
            )

    @abstractmethod
    def _first(self, result: Result) -> dict[str, Any]:
        """The first entry of a result, as :meth:`_kept` returns it."""

    @abstractmethod
    def _answer(self, entry: dict[str, Any]) -> tuple[str, float]:
        """The most likely label of an entry, and its score."""

    @abstractmethod
    def _cut(self, entry: dict[str, Any]) -> tuple[str, float]:
        """The speakers of an entry, and the seconds of its first segment or window."""

    def write(self, file: str, result: Result) -> None:
        """Append all lines of a recording with one call."""
        self._file.write(self._text(file, result))
        self._file.flush()

    @abstractmethod
    def _text(self, file: str, result: Result) -> str:
        """The lines of one recording."""

    @abstractmethod
    def _kept(self, path: Path, text: str) -> tuple[str, list[dict[str, Any]]]:
        """Return what is kept of the whole lines of an existing file, and its entries."""


class OneFileEach(Writer):
    """One file for each recording, written whole; a recording that failed has none.

    Args:
        out: the folder, or the file when there is one recording.
        files: all recordings.
        suffix: of the files, such as ``.srt``.
        show: a recording and its result as text.
        resume: keep existing files.

    Raises:
        PredictError: a file exists and ``resume`` is not set.
    """

    def __init__(
        self,
        out: Path,
        files: Sequence[str],
        *,
        suffix: str,
        show: Callable[[str, Result], str],
        resume: bool,
    ) -> None:
        self._show = show
        self._paths = _destinations(out, files, suffix)
        for path in self._paths.values():
            refuse_existing(path, resume)

    def missing(self, files: Sequence[str]) -> list[str]:
        """Those whose file does not exist."""
        return [file for file in files if not self._paths[file].exists()]

    def write(self, file: str, result: Result) -> None:
        """Write the file of one recording."""
        if "error" in result:
            return
        path = self._paths[file]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, self._show(file, result))
        except OSError as error:
            raise PredictError(f"--out {path}: {error.strerror}") from error


def refuse_existing(path: Path, resume: bool) -> None:
    """Refuse to overwrite a file."""
    if path.exists() and not resume:
        raise PredictError(f"--out {path}: exists; continue it with --resume, or name another")


def _destinations(out: Path, files: Sequence[str], suffix: str) -> dict[str, Path]:
    if len(files) == 1 and out.suffix and not out.is_dir():
        return {files[0]: out}
    absolute = [Path(os.path.abspath(file)) for file in files]
    root = os.path.commonpath([path.parent for path in absolute])
    inside = [path.relative_to(root) for path in absolute]
    # Players look for talk.srt beside talk.wav; with talk.mp3 beside it, both suffixes are kept.
    same = Counter(path.with_suffix("") for path in inside)
    found = {}
    for file, path in zip(files, inside, strict=True):
        unique = same[path.with_suffix("")] == 1
        found[file] = out / (path.with_suffix(suffix) if unique else f"{path}{suffix}")
    return found


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to fill, which takes the place of ``path`` when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, suffix=".tmp", delete=False) as file:
        yield file
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _write_whole(path: Path, text: str, *, errors: str = "surrogateescape") -> None:
    with written_whole(path) as file:
        file.write(text.encode("utf-8", errors=errors))


def readable(file: str) -> str:
    r"""A name that is not UTF-8 with ``\udc..`` in its place: JSON and parquet have no bytes."""
    return file.encode("utf-8", errors="backslashreplace").decode()
