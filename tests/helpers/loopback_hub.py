"""A Hugging Face Hub on 127.0.0.1, for tests with the real client libraries.

``LoopbackHub`` serves what ``loopback_protocol`` answers and what ``loopback_repos`` keeps in
memory, logs what was asked, can fail on demand, and runs Python in subprocesses that take it for
the Hub: the clients read ``HF_ENDPOINT``, ``HF_HOME`` and the like only when they are imported.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import datasets
import pytest
from huggingface_hub import constants

from tests.helpers.loopback_protocol import Call, HubProtocol, Reply

NO_INSTALL = Path(__file__).with_name("no_install")
"""Folder for ``PYTHONPATH`` that hides this project, as if it were not installed."""

LONGEST_PROCESS = 900  # seconds; only against a subprocess that hangs


@dataclass(frozen=True)
class Request:
    """One line of the log. ``path`` is a whole URL when a client asked for another host."""

    method: str
    path: str
    status: int
    byte_range: str | None = None

    @property
    def is_download(self) -> bool:
        """Whether the contents of a file were asked for (a HEAD only asks about them)."""
        return self.method == "GET" and "/resolve/" in self.path


class LoopbackHub:
    """A Hub for one test: push to it, read from it, look at what was asked of it.

    ``token`` belongs to the user ``owner``, ``guest_token`` to ``guest``; there is nobody else.
    In a test's own process, ``HfApi(endpoint=hub.url, token=hub.token)`` works as well.
    ``requests`` logs every answered request, also those to other hosts when a client runs in
    ``env``: that environment names this server as the proxy, so nothing leaves the machine.
    """

    def __init__(self) -> None:
        self.token, self.guest_token = (f"hf_{secrets.token_hex(17)}" for _ in range(2))
        self.protocol = HubProtocol({self.token: "owner", self.guest_token: "guest"})
        self.requests: list[Request] = []
        self._cut: tuple[str, int] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="loopback-hub-")
        self._port = 0  # any free one; kept afterwards
        self._server: _Server | None = None
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve; after ``stop`` on the same port and with the same repos."""
        self._server = _Server(self._port, self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """The network is down: every connection is refused until ``start``.

        What is not read straight from the cache is tried again for half a minute by the clients;
        with ``env(folder, HF_HUB_OFFLINE="1")`` they know better.
        """
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def cut_next_download(self, ending: str, *, after: int) -> None:
        """Break the next download of a file with this ending, once, after so many bytes.

        The client keeps whole chunks of 10 MiB only: it resumes there, not where the line broke.
        """
        self._cut = (ending, after)

    def sendable(self, request: Request, body: bytes) -> bytes:
        """The part of ``body`` that gets through."""
        if self._cut and request.is_download and request.path.endswith(self._cut[0]):
            body, self._cut = body[: self._cut[1]], None
        return body

    def downloads(self) -> list[str]:
        """``<revision>/<path>`` of the files whose contents were asked for, in order."""
        return [r.path.split("/resolve/")[1] for r in self.requests if r.is_download]

    def env(self, folder: Path, **extra: str) -> dict[str, str]:
        """Environment of a subprocess whose Hub this is, with its cache inside ``folder``.

        The subprocess cannot import this project, unless ``PYTHONPATH`` names its folder.
        """
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "PYTHONPATH"))
            and not name.lower().endswith("_proxy")
        }
        return {
            **mine,
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(folder / "hf_home"),
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            # Any other host is refused here, instead of being looked up in the real network.
            "HTTP_PROXY": self.url,
            "HTTPS_PROXY": self.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": str(NO_INSTALL),
            **extra,
        }

    def use_here(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Make this the Hub of the test's own process, as its owner, with a cache in ``folder``.

        For code that reads the settings of ``huggingface_hub`` and ``datasets`` when it is called.
        What keeps them from its import on, such as code from the Hub, needs a process of its own.
        """
        template = f"{self.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        # transformers keeps a client from its first use on.
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        data_url = f"{self.url}/datasets/{{repo_id}}/resolve/{{revision}}/{{path}}"
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", self.url)
        monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", data_url)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        monkeypatch.setenv("HF_TOKEN", self.token)

    def process(
        self,
        code_or_argv: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        token: bool | str = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python as a stranger would: empty working directory, this Hub, a cache of its own.

        ``code_or_argv`` is source code, or the arguments after ``python``. Without ``env`` (made
        by ``env()``) the cache is empty. ``token`` is the owner's, none, or the one given.
        """
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        env = dict(self.env(folder) if env is None else env)
        if token is not True:
            env.pop("HF_TOKEN", None)
            env.update({"HF_TOKEN": token} if token else {})
        if isinstance(code_or_argv, str):
            code_or_argv = ["-c", textwrap.dedent(code_or_argv)]
        (folder / "work").mkdir()
        return subprocess.run(
            [sys.executable, *code_or_argv],
            cwd=folder / "work",
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_PROCESS,
        )

    def run(
        self,
        code_or_argv: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        token: bool | str = True,
    ) -> str:
        """``process``, but an exit code other than 0 fails the test; returns stdout."""
        done = self.process(code_or_argv, env=env, token=token)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the clients connect with many threads at once

    def __init__(self, port: int, hub: LoopbackHub) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self._read_body()
        url = urlsplit(self.path)
        if url.scheme:  # sent to us as to a proxy
            reply = Reply.json({"error": f"{url.netloc} is not the loopback hub"}, 404)
        else:
            segments = [unquote(segment) for segment in url.path.strip("/").split("/")]
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(url.query))
            reply = self.server.hub.protocol.answer(
                Call(self.command, segments, query, headers, body)
            )
        self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def do_CONNECT(self) -> None:
        self._send(Reply.json({"error": f"{self.path} is not the loopback hub"}, 403))

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, reply: Reply) -> None:
        request = Request(self.command, self.path, reply.status, self.headers.get("Range"))
        self.server.hub.requests.append(request)
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            # One request a connection, so that nobody is still connected after ``stop``.
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(self.server.hub.sendable(request, reply.body))
        except ConnectionError:
            pass  # a streaming client may leave as soon as it has seen enough

    def log_message(self, *args: object) -> None:
        """Keep the standard error of the tests clean; ``requests`` has it all."""
