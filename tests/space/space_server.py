"""Import the page from its folder, where it is no package, and serve it for the tests."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
sys.path.insert(0, str(SPACE))

from app import build_demo, launch_options  # noqa: E402
from recogniser import Settings  # noqa: E402


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the page on a free port and yield its address."""
    demo = build_demo(settings)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    try:
        yield url
    finally:
        demo.close()
