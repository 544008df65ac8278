"""Files that a visitor sent: named apart when they come, and gone when the request ends."""

import atexit
import functools
import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clips import ClipError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_FOLDER = "ser-uploads-"
"""How the name of the folder for uploads begins, where the operator has not chosen one."""

KEPT_SECONDS = 3600
"""What nobody asked about is removed when it is older: an upload, or the copy that Gradio makes of
a clip inside an MCP request."""

SWEEP_SECONDS = 60
"""It is looked for this often."""


@contextmanager
def taken(paths: str | Sequence[str] | None) -> Iterator[list[Path]]:
    """Take the files of a request out of the server's reach; they are removed at the end.

    Files that did not come from a visitor, the examples, are used where they are.

    Args:
        paths: what Gradio hands to a function: one path, several, or none.

    Yields:
        The files, in order and with their names; an empty list for none.

    Raises:
        ClipError: a file is not there any more.
    """
    given = [paths] if isinstance(paths, str) else list(paths or [])
    uploads = upload_folder().resolve()
    with tempfile.TemporaryDirectory(prefix="ser-", ignore_cleanup_errors=True) as folder:
        mine: list[Path] = []
        for number, path in enumerate(map(Path, given)):
            if given[number] in given[:number]:
                mine.append(mine[given.index(given[number])])
                continue
            if not path.is_file():
                raise ClipError("The file is no longer on the server: please upload it again.")
            if uploads in path.resolve().parents:
                place = Path(folder) / str(number)
                place.mkdir()
                path = _moved(path, place / path.name)
            mine.append(path)
        yield mine


def _moved(path: Path, target: Path) -> Path:
    shutil.move(path, target)
    with suppress(OSError):  # it holds another file, or Gradio has removed it
        path.parent.rmdir()
    return target


class UploadsApart:
    """Middleware that gives every upload a place of its own.

    Gradio files uploads under the hash of their content, so two visitors with the same clip would
    share one file, and the first answer would take it from under the second.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the answer to an upload names the files' new places."""
        is_upload = scope["type"] == "http" and scope["method"] == "POST"
        if not is_upload or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def renamed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body = json.dumps([set_apart(path) for path in json.loads(body)]).encode()
            headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, renamed)


def upload_folder() -> Path:
    """Return where Gradio puts what visitors send."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


@functools.cache
def start_sweeping() -> threading.Thread:
    """Start to remove what is too old, in the background and once in a process.

    A folder of this process's own goes with it; one that the operator chose stays.
    """
    if upload_folder().name.startswith(OWN_FOLDER):
        atexit.register(shutil.rmtree, upload_folder(), ignore_errors=True)

    def forever() -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            sweep(upload_folder(), older_than=KEPT_SECONDS)

    thread = threading.Thread(target=forever, name="sweeper", daemon=True)
    thread.start()
    return thread


def sweep(folder: Path, *, older_than: float) -> None:
    """Remove files of more than so many seconds, and folders that are empty as long."""
    now = time.time()
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):  # it has gone, or is a folder that holds something
            if now - path.lstat().st_mtime > older_than:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def set_apart(path: str) -> str:
    """Move an upload to a folder that no other upload has, and return its new path."""
    source = Path(path)
    folder = source.parent.parent / f"upload-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        return str(_moved(source, folder / source.name))
    except FileNotFoundError:  # Gradio is still copying it, from another file system
        folder.rmdir()
        return path
