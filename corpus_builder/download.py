"""Downloading the open corpora: resumed after an interruption, verified, unpacked safely.

RAVDESS is on Zenodo and TESS on a Dataverse, whose checksums pooch reads. CREMA-D and nEMO are on
GitHub; the archive of CREMA-D holds the SHA-256 of each clip, and the clips are Git LFS files.
"""

import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch
import requests
from pooch.downloaders import DataRepository, DataverseRepository, ZenodoRepository
from tqdm import tqdm

from corpus_builder import CorpusError

ZENODO = "https://zenodo.org"
DATAVERSE = "https://borealisdata.ca"
GITHUB = "https://github.com"
GITHUB_MEDIA = "https://media.githubusercontent.com"

ATTEMPTS = 3
CONNECTIONS = 8
CHUNK = 1 << 14  # bytes; what an interrupted download may lose
TIMEOUT = 60  # seconds without a byte
POINTER = re.compile(rb"version https://git-lfs\S*\noid sha256:([0-9a-f]{64})\n")
CREMA_D_FILES = re.compile(
    r"AudioWAV/[^/]+\.wav|VideoDemographics\.csv|processedResults/[^/]+\.csv"
)
CREMA_D_REPO, CREMA_D_REF = "CheyneyComputerScience/CREMA-D", "master"
NEMO_FILES = re.compile(r"samples/[^/]+\.wav|data\.tsv")
NEMO_REPO, NEMO_REF = "amu-cai/nEMO", "main"

BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
"""Errors after which a download is tried again."""

pooch.get_logger().setLevel("ERROR")


@dataclass(frozen=True)
class Site:
    """Where to download from: the real hosts, or one mirror for all of them."""

    mirror: str | None = None

    def url(self, host: str) -> str:
        """Return the address to use for a host."""
        return self.mirror.rstrip("/") if self.mirror else host


def download(name: str, to: Path, *, mirror: str | None = None) -> Path:
    """Download a corpus into ``to/NAME`` unless it is there.

    Args:
        name: a key of :data:`DOWNLOADS`.
        to: the folder for all corpora.
        mirror: address of a host that replaces the hosts of all corpora.

    Returns:
        The folder of the corpus, which appears only when it is whole.

    Raises:
        CorpusError: the host cannot be reached, a checksum differs, or an archive would
            write outside of its folder.
    """
    folder = to / name
    if folder.is_dir():
        return folder
    partial = to / f".{name}"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        DOWNLOADS[name](partial, Site(mirror))
    except requests.RequestException as error:
        host = urlsplit(str(error.request.url)).netloc if error.request else "the host"
        raise CorpusError(
            f"{name}: {host} cannot be reached or closed the connection "
            f"({type(error).__name__}); run the same command again to continue"
        ) from error
    except (KeyError, TypeError) as error:
        raise CorpusError(f"{name}: the host's answer lacks {error}") from error
    (partial / "content").rename(folder)
    shutil.rmtree(partial)
    return folder


def _ravdess(partial: Path, site: Site) -> None:
    address = f"{site.url(ZENODO)}/records/1188976"
    repository = ZenodoRepository("10.5281/zenodo.1188976", address, timeout=TIMEOUT)
    repository.base_api_url = f"{site.url(ZENODO)}/api/records"
    _fetch_all(repository, partial, lambda file: file == "Audio_Speech_Actors_01-24.zip")


def _tess(partial: Path, site: Site) -> None:
    address = f"{site.url(DATAVERSE)}/dataset"
    repository = DataverseRepository("10.5683/SP2/E8H2MF", address, timeout=TIMEOUT)
    _fetch_all(repository, partial, lambda file: file.lower().endswith((".wav", ".zip")))


def _crema_d(partial: Path, site: Site) -> None:
    _github(partial, site, CREMA_D_REPO, CREMA_D_REF, wanted=CREMA_D_FILES)


def _nemo(partial: Path, site: Site) -> None:
    _github(partial, site, NEMO_REPO, NEMO_REF, wanted=NEMO_FILES)


def _github(partial: Path, site: Site, repo: str, ref: str, *, wanted: re.Pattern[str]) -> None:
    """Download the wanted files of a branch, those in Git LFS too."""
    content = partial / "content"
    if not content.is_dir():
        archive = partial / "archive.tar.gz"
        path = f"{repo}/archive/refs/heads/{ref}.tar.gz"
        _retrieve(f"{site.url(GITHUB)}/{path}", archive, known_hash=None)
        with _unpacking(content) as folder:
            _untar(archive, folder, wanted=wanted)
    pointers = {
        path: match[1].decode()
        for path in sorted(content.rglob("*"))
        if path.is_file()
        and path.stat().st_size < 1000
        and (match := POINTER.match(path.read_bytes()))
    }

    def fetch(path: Path) -> None:
        name = path.relative_to(content).as_posix()
        url = f"{site.url(GITHUB_MEDIA)}/media/{repo}/{ref}/{name}"
        fetched = partial / "clips" / pointers[path]
        _retrieve(url, fetched, known_hash=f"sha256:{pointers[path]}")
        fetched.replace(path)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in tqdm(pool.map(fetch, pointers), total=len(pointers), unit="clip"):
            pass


DOWNLOADS: dict[str, Callable[[Path, Site], None]] = {
    "ravdess": _ravdess,
    "tess": _tess,
    "crema_d": _crema_d,
    "nemo": _nemo,
}
"""The open corpora; the owners of SAVEE and IEMOCAP send them on request."""


def _fetch_all(repository: DataRepository, partial: Path, wanted: Callable[[str], bool]) -> None:
    """Download the wanted files of a repository, with its checksums, and unpack archives."""
    registry = pooch.create(path=partial, base_url="", registry={})
    repository.populate_registry(registry)
    files = [name for name in registry.registry if wanted(name)]
    if not files:
        raise CorpusError(f"{repository.doi}: holds none of the files that were expected")
    for name in tqdm(files, unit="file"):
        if PurePosixPath(name).name != name or name.startswith("."):
            raise CorpusError(f"{repository.doi}: {name!r} is not a file name")
        known_hash = registry.registry[name]
        _retrieve(repository.download_url(name), partial / "files" / name, known_hash=known_hash)
    shutil.rmtree(partial / "content", ignore_errors=True)
    with _unpacking(partial / "content") as folder:
        for name in files:
            path = partial / "files" / name
            if path.suffix.lower() == ".zip":
                _unzip(path, folder)
            else:
                shutil.copy(path, folder / name)


def _retrieve(url: str, path: Path, *, known_hash: str | None) -> None:
    """Download one file unless it is there; try again after an interruption."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            pooch.retrieve(
                url,
                known_hash=known_hash,
                fname=path.name,
                path=path.parent,
                downloader=_Resuming(path),
            )
            return
        except BROKEN:
            if attempt == ATTEMPTS:
                raise
        except ValueError as error:
            if isinstance(error, requests.RequestException):
                raise
            raise CorpusError(f"{url}: the checksum differs; run the command again") from error


class _Resuming:
    """A downloader for pooch that keeps what it has received and requests the rest."""

    def __init__(self, path: Path) -> None:
        self._part = path.with_name(f"{path.name}.part")

    def __call__(self, url: str, output_file: str, _: object) -> None:
        start = self._part.stat().st_size if self._part.exists() else 0
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                resumed = response.status_code == requests.codes.partial_content
                with self._part.open("ab" if resumed else "wb") as file:
                    for chunk in response.iter_content(CHUNK):
                        file.write(chunk)
        self._part.replace(output_file)


@contextmanager
def _unpacking(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block succeeds."""
    temporary = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    temporary.rename(folder)


def _unzip(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _require_inside(member.filename, folder, archive)
            file.extractall(folder)
    except zipfile.BadZipFile as error:
        raise CorpusError(f"{archive.name}: not a zip archive") from error


def _untar(archive: Path, folder: Path, *, wanted: re.Pattern[str]) -> None:
    """Unpack the wanted files without the archive's outermost folder."""
    try:
        with tarfile.open(archive) as file:
            for member in file:
                _require_inside(member.name, folder, archive)
                name = "/".join(PurePosixPath(member.name).parts[1:])
                chosen = member.isfile() and wanted.fullmatch(name)
                content = file.extractfile(member) if chosen else None
                if content is not None:
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with content as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target)
    except tarfile.TarError as error:
        raise CorpusError(f"{archive.name}: not a tar archive") from error


def _require_inside(name: str, folder: Path, archive: Path) -> None:
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise CorpusError(f"{archive.name}: holds {name!r}, which leaves the folder; not unpacked")
