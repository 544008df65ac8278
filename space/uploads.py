"""Uploads: their size limit, a folder for each, and their removal after the request."""

import atexit
import functools
import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from clips import ClipError
from gradio.data_classes import FileData, GradioRootModel
from gradio.processing_utils import save_base64_to_cache
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_FOLDER = "ser-uploads-"
"""Prefix of the folder for uploads that the Space makes if GRADIO_TEMP_DIR is not set."""

KEPT_SECONDS = 3600
"""Age at which files without a request are removed: unused uploads, and Gradio's copies of clips
in MCP requests."""

SWEEP_SECONDS = 60
"""Interval of the search for them."""

TOO_LARGE = "The request exceeded the maximum allowed size."
MULTIPART_BYTES = 1_000_000
"""Bytes of an upload besides its files: names and boundaries."""

CLOSE = (b"connection", b"close")
"""Ends the connection after a refusal; otherwise the server would read the rest of the request."""

FILE_SCHEMA = {
    "title": "FileData",
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "meta": {"type": "object", "properties": {"_type": {"const": "gradio.FileData"}}},
    },
    "required": ["path"],
}
ADDRESS_SCHEMA = {"type": "string", "description": "a http, https or data URL of a file"}


@contextmanager
def received(paths: str | Sequence[str] | None) -> Iterator[list[Path]]:
    """Move the files of a request to a temporary folder, which is removed at the end.

    Files that are not uploads (the examples) stay where they are.

    Args:
        paths: of Gradio: one path, several, or none.

    Yields:
        The files in order, with their names.

    Raises:
        ClipError: a file no longer exists.
    """
    given = [paths] if isinstance(paths, str) else list(paths or [])
    uploads = upload_folder().resolve()
    with tempfile.TemporaryDirectory(prefix="ser-", ignore_cleanup_errors=True) as folder:
        files: list[Path] = []
        for number, path in enumerate(map(Path, given)):
            if given[number] in given[:number]:
                files.append(files[given.index(given[number])])
                continue
            if not path.is_file():
                raise ClipError("The file is no longer on the server: please upload it again.")
            if uploads in path.resolve().parents:
                place = Path(folder) / str(number)
                place.mkdir()
                path = _moved(path, place / path.name)
            files.append(path)
        yield files


def _moved(path: Path, target: Path) -> Path:
    shutil.move(path, target)
    with suppress(OSError):  # not empty, or removed by Gradio
        path.parent.rmdir()
    return target


class SeparateUploads:
    """Middleware that gives every upload its own folder.

    Gradio stores uploads by the hash of their content, so that two visitors with the same clip
    would share one file, and the end of one request would remove it from the other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the response to an upload has the new paths of its files."""
        is_upload = scope["type"] == "http" and scope["method"] == "POST"
        if not is_upload or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        renamed = change_json(send, lambda paths: [in_own_folder(path) for path in paths])
        await self._app(scope, receive, renamed)


def change_json(send: Send, change: Callable[[Any], Any]) -> Send:
    """Return a `send` that changes the JSON of a successful response."""
    start: Message = {}
    body = b""

    async def changed(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        if start["status"] == 200:
            body = json.dumps(change(json.loads(body))).encode()
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return changed


def upload_folder() -> Path:
    """Return the folder in which Gradio stores uploads."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


@functools.cache
def start_sweeping() -> threading.Thread:
    """Start the background thread that removes old files, once in a process.

    A folder that this process has made is removed with it.
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
    """Remove files and empty folders that are older, in seconds."""
    now = time.time()
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):  # removed meanwhile, or a folder that is not empty
            if now - path.lstat().st_mtime > older_than:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def in_own_folder(path: str) -> str:
    """Move an upload to a new folder, and return its new path."""
    source = Path(path)
    folder = source.parent.parent / f"upload-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        return str(_moved(source, folder / source.name))
    except FileNotFoundError:  # Gradio is still copying it, from another file system
        folder.rmdir()
        return path


class BodyLimit:
    """Middleware that refuses large requests with 413; Gradio limits single files only.

    A request whose header gives its length is refused before it is read. Otherwise, and if the
    header is wrong, the bytes are counted as they arrive.
    """

    def __init__(self, app: ASGIApp, *, upload_bytes: int, other_bytes: int) -> None:
        """Wrap `app`; `upload_bytes` limits all files of an upload, `other_bytes` the rest."""
        self._app = app
        self._upload_bytes = upload_bytes + MULTIPART_BYTES
        self._other_bytes = other_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the limits, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/").endswith("/upload")
        limit = self._upload_bytes if is_upload else self._other_bytes
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > limit:
            await _refuse(send)
            return
        seen, ended, started = 0, False, False

        async def counted() -> Message:
            nonlocal seen, ended
            message = await receive()
            seen += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if seen > limit:
                # Gradio's parser handles this exception and removes the partial file.
                raise MultiPartException(TOO_LARGE)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if seen > limit and not started:
                return
            if is_upload and not ended and not started:  # a single file was too large
                message = {**message, "headers": [*message["headers"], CLOSE]}
            started = True
            await send(message)

        # A response to a partial request is dropped.
        try:
            await self._app(scope, counted, noted)
        except MultiPartException:
            if seen <= limit:
                raise
        if not started:
            await _refuse(send)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), CLOSE]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE.encode()})


class FilesOrAddresses(GradioRootModel):
    """Input of a function that takes several files: uploads or URLs."""

    root: list[FileData | str]


def clip_files(label: str) -> gr.File:
    """Return a hidden input for several files that MCP clients can use as well.

    Gradio turns a single file of an MCP request into an upload, but not a list of files, whose
    schema refers to definitions that are missing. Here each file may be a URL. This changes a
    component of Gradio; for a subclass Gradio would write a stub file beside this one.
    """
    files = gr.File(file_count="multiple", type="filepath", label=label, visible=False)

    def path(file: FileData | str) -> str:
        if isinstance(file, FileData):
            return file.path
        if file.startswith("data:"):
            return in_own_folder(save_base64_to_cache(file, files.GRADIO_CACHE))
        if file.startswith(("http://", "https://")):
            # Gradio refuses addresses inside the server's own network.
            return in_own_folder(files.move_resource_to_block_cache(file))
        raise gr.Error(
            "A file must be an upload, or a http, https or data URL.", print_exception=False
        )

    files.data_model = FilesOrAddresses
    files.api_info = lambda: {"type": "array", "items": {"anyOf": [FILE_SCHEMA, ADDRESS_SCHEMA]}}
    files.preprocess = lambda payload: [path(file) for file in payload.root] if payload else []
    return files
