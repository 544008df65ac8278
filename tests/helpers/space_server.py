"""Import the page from its folder, where it is no package, and serve it for the tests."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
sys.path.insert(0, str(SPACE))

from app import build_demo, launch_options  # noqa: E402
from settings import Settings  # noqa: E402
from uploads import upload_folder  # noqa: E402


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the page on a free port and yield its address."""
    demo = build_demo(settings)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    try:
        yield url
    finally:
        demo.close()


def on_the_server() -> list[Path]:
    """Every file with something in it, wherever the server may have put it."""
    places = [upload_folder(), *Path(tempfile.gettempdir()).glob("ser-*")]
    found = (
        Path(folder) / name
        for place in places
        for folder, _, names in os.walk(place)
        for name in names
    )
    return [path for path in found if _holds_something(path)]


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # removed meanwhile
        return False


def wait_until_empty() -> list[Path]:
    """Wait until the server has forgotten all, and return what it has not."""
    for _ in range(300):
        if not (left := on_the_server()):
            break
        time.sleep(0.1)
    return left
