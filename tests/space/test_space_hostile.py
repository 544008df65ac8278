"""Hostile input: it is refused, or the page survives it.

The page runs in its own process, whose memory and files are measured. After every attack it has to
serve the next request.
"""

import http.client
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from tests.helpers.space_server import SpaceProcess

pytestmark = pytest.mark.slow  # the page takes its time to start

MEGABYTE = 1_000_000
SLACK = 200 * MEGABYTE
"""How much the memory of the page may grow; 2 GB of uploads would show."""


@pytest.fixture
def page(space_process) -> SpaceProcess:
    return space_process


@pytest.fixture(autouse=True)
def _answers_afterwards(page, angry_clip) -> Iterator[None]:
    """The folder alone, without the repository, gives an answer."""
    yield
    answer = page.client.predict(handle_file(angry_clip), api_name="/predict")
    assert len(answer["emotions"]) == 7
    assert page.process.poll() is None


def refused(page: SpaceProcess, file: Path, words: str, *, api_name: str = "/batch") -> str:
    given = [handle_file(file)] if api_name == "/batch" else handle_file(file)
    with pytest.raises(AppError, match=words) as caught:
        page.client.predict(given, api_name=api_name)
    line = str(caught.value)
    assert "\n" not in line and "Traceback" not in line
    return line


def test_one_call_without_the_library_says_what_to_install(page):
    reply = httpx.post(f"{page.url}/v1/predict", files={"file": b"x"}, timeout=60)
    assert reply.status_code == 501 and "pip install" in reply.json()["error"]


@pytest.mark.parametrize("api_name", ["/batch", "/benchmark"])
def test_a_zip_that_leads_out_of_its_folder(page, tmp_path, angry_clip, api_name):
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(angry_clip, "good.wav")
        archive.write(angry_clip, "../../../evil.wav")
    before = page.disk()
    refused(page, tmp_path / "clips.zip", "leads out of its folder", api_name=api_name)
    assert page.disk() <= before + MEGABYTE
    assert not list(page.folder.parent.rglob("evil*"))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bomb") / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("03-01-05-01-01-01-01.wav", "w") as entry,
    ):
        for _ in range(400):
            entry.write(bytes(MEGABYTE))
    assert path.stat().st_size < 3 * MEGABYTE
    return path


@pytest.mark.parametrize("api_name", ["/batch", "/benchmark"])
def test_a_zip_bomb(page, bomb, api_name):
    memory = page.memory()
    refused(page, bomb, "too large", api_name=api_name)
    assert page.disk() < 10 * MEGABYTE and page.memory() < memory + SLACK


def send(
    page: SpaceProcess, path: str, headers: dict[str, str], megabytes: int
) -> tuple[int | None, int]:
    """Stream zeros until the page has had enough; return its status and the megabytes sent."""
    connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=60)
    connection.putrequest("POST", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    chunked = headers.get("Transfer-Encoding") == "chunked"
    start = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n"
    )
    sent, status = 0, None
    with suppress(OSError):
        for number in range(megabytes):
            block = start + bytes(MEGABYTE) if number == 0 else bytes(MEGABYTE)
            connection.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            sent += 1
    with suppress(OSError, http.client.HTTPException):  # the answer may go with the line
        status = connection.getresponse().status
    connection.close()
    return status, sent


FORM = {"Content-Type": "multipart/form-data; boundary=x"}
JSON = {"Content-Type": "application/json"}
LONG = {"Content-Length": str(2000 * MEGABYTE)}
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/gradio_api/upload", FORM | LONG),
        ("/gradio_api/upload", FORM | CHUNKED),
        ("/gradio_api/queue/join", JSON | LONG),
        ("/gradio_api/queue/join", JSON | CHUNKED),
    ],
    ids=["upload", "upload of unknown length", "request", "request of unknown length"],
)
def test_two_gigabytes(page, path, headers):
    memory, most = page.memory(), [0, 0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0], most[1] = max(most[0], page.memory()), max(most[1], page.disk())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        status, sent = send(page, path, headers, 2000)
    finally:
        done.set()
        watcher.join()
    assert status in {413, None} and sent < 100, "it is refused early"
    assert most[0] < memory + SLACK and most[1] < 10 * MEGABYTE
    assert page.disk() < 2 * MEGABYTE


def test_many_files_in_one_upload_count_together(page):
    parts = []
    for number in range(20):
        parts.append(
            f'--x\r\nContent-Disposition: form-data; name="files"; filename="{number}.wav"\r\n'
            "Content-Type: audio/wav\r\n\r\n".encode()
            + bytes(MEGABYTE // 2)
            + b"\r\n"
        )
    body = b"".join(parts) + b"--x--\r\n"
    connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=60)
    with suppress(OSError):  # it hangs up, and the answer may go with the line
        connection.request("POST", "/gradio_api/upload", iter([body]), FORM, encode_chunked=True)
        reply = connection.getresponse()
        assert reply.status == 413 and b"maximum allowed size" in reply.read()
    assert page.disk() < 2 * MEGABYTE


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".zip"])
def test_a_polyglot(page, tmp_path, angry_clip, suffix):
    """A page with a script that is a zip as well, and says that it is a sound."""
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("a.wav", "<script>alert(1)</script>")
    polyglot = tmp_path / f"clip{suffix}"
    polyglot.write_bytes(b"GIF89a<html><script>alert(1)</script></html>" + inside.getvalue())
    if suffix == ".zip":
        (row,) = page.client.predict([handle_file(polyglot)], api_name="/batch")["rows"]
        assert row["label"] is None and "could not be read as audio" in row["error"]
    else:
        refused(page, polyglot, "could not be read as audio", api_name="/predict")


def test_a_script_in_a_file_name(page, tmp_path, angry_clip):
    name = "<img src=x onerror=alert(1)>.wav"
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(angry_clip, name)
        archive.writestr("<script>alert(2)</script>.wav", "no audio")
    rows = page.client.predict([handle_file(tmp_path / "clips.zip")], api_name="/batch")["rows"]
    assert len(rows) == 2
    assert not any("<" in row["file"] or "<" in (row["error"] or "") for row in rows)
    (tmp_path / name).write_bytes(b"no audio")
    assert "<" not in refused(page, tmp_path / name, "could not", api_name="/predict")


def test_an_uploaded_page_is_never_shown_as_one(page, tmp_path):
    """What a visitor uploads may be fetched again, but a browser must not run it."""
    (tmp_path / "evil.html").write_text("<script>alert(1)</script>")
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="evil.html"\r\n'
        b"Content-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--x--\r\n"
    )
    connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=60)
    connection.request("POST", "/gradio_api/upload", body, FORM)
    (path,) = json.loads(connection.getresponse().read())
    connection.request("GET", f"/gradio_api/file={path}")
    reply = connection.getresponse()
    shown = reply.headers.get_content_type() == "text/html"
    attached = (reply.headers["Content-Disposition"] or "").startswith("attachment")
    assert reply.status != 200 or attached or not shown


def test_fifty_cancelled_requests(page, angry_clip):
    memory = page.memory()
    jobs = [page.client.submit(handle_file(angry_clip), api_name="/predict") for _ in range(25)]
    for job in jobs:
        job.cancel()

    def hang_up(_: int) -> None:
        connection = socket.create_connection(("127.0.0.1", page.port), timeout=30)
        body = json.dumps({"data": [None, ""], "fn_index": 0, "session_hash": "x"}).encode()
        head = f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hang_up, range(25)))
    assert page.memory() < memory + SLACK
