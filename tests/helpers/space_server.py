"""The Space, imported from its folder (which is no package), and served for the tests."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from gradio_client import Client

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
NO_INSTALL = Path(__file__).with_name("no_install")
sys.path.insert(0, str(SPACE))

from app import build_demo, launch_options  # noqa: E402
from settings import Settings  # noqa: E402
from uploads import upload_folder  # noqa: E402


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the page on a free port and yield its address."""
    demo = build_demo(settings)
    options = launch_options(settings, demo.classifier)
    port = free_port()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_port=port, **options)
    try:
        yield url
    finally:
        demo.close()


def loaded(url: str) -> str:
    """Wait until the model of a page is loaded; returns the address."""
    Client(url, verbose=False).predict(api_name="/about")
    return url


def free_port() -> int:
    """A port that nothing uses: servers of several processes may look for one at the same time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class SpaceProcess:
    """A copy of the Space, served by its own process without this repository.

    Attributes:
        port, url: where it is served.
        folder: where it stores files.
        client: of its API.
    """

    def __init__(
        self, root: Path, *, source: Path = SPACE, python: Path | None = None, **env: str
    ) -> None:
        """Copy, start and wait.

        Args:
            root: a folder for the copy and all files.
            source: the folder to copy.
            python: another interpreter.
            env: environment variables of the Space.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = root / "files"
        self.folder.mkdir()
        copy_space(root / "copy", source)
        files = {"GRADIO_TEMP_DIR": str(self.folder), "TMPDIR": str(self.folder)}
        env = {**os.environ, **files, "GRADIO_SERVER_PORT": str(self.port), **env}
        env["PYTHONPATH"] = str(NO_INSTALL)
        log = root / "log"
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [python or sys.executable, "app.py"],
                cwd=root / "copy",
                env=env,
                stdout=out,
                stderr=out,
            )
        while "Running on" not in log.read_text():
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.2)
        self.client = Client(self.url, verbose=False)

    def memory(self) -> int:
        """Bytes in memory."""
        return psutil.Process(self.process.pid).memory_info().rss

    def disk(self) -> int:
        """Bytes of the files that it stores."""
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()


def copy_space(folder: Path, source: Path = SPACE) -> Path:
    """Copy the folder of the Space only; returns the copy."""
    return shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))


def stored_files() -> list[Path]:
    """All files that are not empty, wherever the server in this process may store them."""
    places = [upload_folder(), *Path(tempfile.gettempdir()).glob("ser-*")]
    found = (
        Path(folder) / name
        for place in places
        for folder, _, names in os.walk(place)
        for name in names
    )
    return [path for path in found if _has_content(path)]


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # removed meanwhile
        return False


def wait_until_empty() -> list[Path]:
    """Wait until the server has removed all files; returns those that it has not."""
    for _ in range(600):
        if not (left := stored_files()):
            break
        time.sleep(0.05)
    return left
