"""The HTTP server, over a loopback port, with a tiny model."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import requests
import uvicorn
from fastapi import FastAPI

from speech_emotion.cli.main import main
from speech_emotion.predict import server_input
from speech_emotion.predict.server import make_app
from tests.helpers.answers import same
from tests.helpers.refusals import refusal
from tests.helpers.sounds import CLIPS, encode, tone, voice
from tests.helpers.tiny_models import tiny_pipeline

ROOT = Path(__file__).parents[2]
CLIP = encode(CLIPS[1])


@contextmanager
def served(app) -> Iterator[str]:
    """Serve an app in a thread; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def classifier():
    return tiny_pipeline(standardize_features=False)


@pytest.fixture(scope="module")
def app(classifier) -> FastAPI:
    return make_app(classifier, name="/somewhere/tiny", max_megabytes=2)


@pytest.fixture(scope="module")
def url(app) -> Iterator[str]:
    with served(app) as address:
        yield address


def ask(url: str, content: bytes = CLIP, *, name: str = "clip.wav", **fields: str):
    files = {"file": (name, content)}
    return requests.post(f"{url}/v1/predict", files=files, data=fields, timeout=60)


def ask_json(url: str, content: bytes = CLIP, **fields):
    body = {"audio": base64.b64encode(content).decode(), **fields}
    return requests.post(f"{url}/v1/predict", json=body, timeout=60)


def refused(reply: requests.Response, status: int) -> str:
    """The one line of an error."""
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    line = reply.json()["error"]
    assert line and "\n" not in line
    return line


def test_a_file_is_answered_as_the_pipeline_answers_it(url, classifier):
    expected = classifier(CLIP, return_transcript=True)
    for reply in (ask(url), ask_json(url)):
        assert reply.status_code == 200
        found = reply.json()
        same(found.pop("emotions"), expected["emotions"])
        assert found == {key: value for key, value in expected.items() if key != "emotions"}


def test_options_are_fields(url, classifier):
    options = {"top_k": 2, "text": "leave me", "labels": {"angry": "bad", "sad": "bad"}}
    expected = classifier(CLIP, return_transcript=True, contributions=True, **options)
    fields = options | {"top_k": "2", "labels": "angry=bad,sad=bad", "contributions": "true"}
    for reply in (ask(url, **fields), ask_json(url, contributions=True, **options)):
        same(reply.json()["emotions"], expected["emotions"])
        assert reply.json()["transcript"] == "leave me"
        assert set(reply.json()["contributions"]) == set(expected["contributions"])


def test_a_recording_with_segments_and_speakers(url, classifier):
    stereo = encode(np.stack([voice(6), voice(6, pitch=210, seed=1)], axis=1))
    options = {"return_segments": True, "speakers": ["agent", "customer"], "hop_s": 4}
    expected = classifier(stereo, return_transcript=True, **options)
    fields = {"return_segments": "true", "speakers": "agent,customer", "hop_s": "4"}
    for reply in (ask(url, stereo, **fields), ask_json(url, stereo, **options)):
        found = reply.json()
        same(found["emotions"], expected["emotions"])
        assert [(s["speaker"], s["start"], s["end"], s["label"]) for s in found["segments"]] == [
            (s["speaker"], s["start"], s["end"], s["label"]) for s in expected["segments"]
        ]


def test_answers_fit_the_published_schema(url):
    schema = requests.get(f"{url}/openapi.json", timeout=10).json()
    answer = {"$ref": "#/components/schemas/Answer", "components": schema["components"]}
    for fields in ({}, {"return_segments": "true"}, {"return_transcript": "false"}):
        jsonschema.validate(ask(url, **fields).json(), answer)
    body = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert {"top_k", "labels", "abstain_below", "text", "window_s", "speakers", "file"} <= set(
        body["multipart/form-data"]["schema"]["properties"]
    )
    assert body["application/json"]["schema"]["required"] == ["audio"]
    assert all(
        field.get("description")
        for field in body["application/json"]["schema"]["properties"].values()
    )


def test_pages_beside_it(url):
    (model,) = requests.get(f"{url}/v1/models", timeout=10).json()["data"]
    assert model["id"] == "tiny" and len(model["labels"]) == 7 and model["transcriber"] is None
    assert requests.get(f"{url}/health", timeout=10).json() == {"status": "ok", "waiting": 0}
    page = requests.get(f"{url}/docs", timeout=10).text
    assert "://" not in page.replace("http://www.w3.org", "")
    for part in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert requests.get(url + part, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (400, {"data": b"{", "headers": {"content-type": "application/json"}}),
        (400, {"data": b"[" * 100_000, "headers": {"content-type": "application/json"}}),
        (400, {"json": {"audio": "###"}}),
        (400, {"json": {"top_k": 1}}),
        (400, {"json": ["audio"]}),
        (400, {"files": {"file": (None, "text")}}),
        (400, {"data": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (400, {"files": [("file", ("a.wav", CLIP)), ("file", ("b.wav", CLIP))]}),
        (413, {"files": {"file": bytes(3_000_000)}}),
        (413, {"data": iter([bytes(1_000_000)] * 3), "headers": {"content-type": "x/y"}}),
        (415, {"data": CLIP, "headers": {"content-type": "audio/wav"}}),
        (415, {"data": b""}),
        (422, {"json": {"audio": "aGVsbG8="}}),
        (422, {"json": {"audio": ""}}),
    ],
)
def test_bad_requests_have_one_line(url, status, how):
    if status == 413 and "headers" in how:
        how["headers"] = {"content-type": "application/json"}
    refused(requests.post(f"{url}/v1/predict", timeout=60, **how), status)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", "0"),
        ("top_k", "two"),
        ("abstain_below", "1.5"),
        ("labels", "joyful"),
        ("labels", "angry=bad,sad"),
        ("labels", "{"),
        ("hop_s", "1"),
        ("speakers", "/etc/passwd"),
        ("unknown", "1"),
        ("batch_size", "8"),
    ],
)
def test_a_wrong_option_is_named(url, field, value):
    given = {field: value} | ({"return_segments": "true"} if field == "speakers" else {})
    assert field in refused(ask(url, **given), 422)


def test_a_clip_that_cannot_be_used_is_named(url):
    line = refused(ask(url, b"no audio", name="C:\\calls\\one.wav"), 422)
    assert line.startswith("one.wav: ")
    assert refused(ask(url, encode(CLIPS[0] * 0)), 422).startswith("clip.wav: silent")
    line = refused(ask(url, text="words", return_segments="true"), 422)
    assert line.startswith("text")


def test_other_pages_have_errors_of_the_same_form(url):
    refused(requests.get(f"{url}/v1/predict", timeout=10), 405)
    refused(requests.get(f"{url}/v2", timeout=10), 404)


def test_twenty_at_once_get_their_own_answers(url, classifier):
    clips = [encode(tone(200 + 150 * n, 0.4 + 0.05 * n, seed=n)) for n in range(20)]
    expected = [classifier(clip) for clip in clips]
    assert len({tuple(entry["score"] for entry in row) for row in expected}) == 20
    with ThreadPoolExecutor(20) as clients:
        replies = list(clients.map(lambda clip: [ask(url, clip) for _ in range(3)], clips))
    for found, row in zip(replies, expected, strict=True):
        for reply in found:
            same(reply.json()["emotions"], row)


def test_clips_are_answered_while_a_recording_runs(classifier):
    long = encode(voice(40), subtype="PCM_16")
    with (
        served(make_app(classifier, name="tiny", max_megabytes=10)) as url,
        ThreadPoolExecutor(1) as client,
    ):
        running = client.submit(ask, url, long, return_segments="true")
        while (
            requests.get(f"{url}/health", timeout=10).json()["waiting"] == 0 and not running.done()
        ):
            time.sleep(0.01)
        assert ask(url).status_code == 200
        assert not running.done()
        assert running.result().json()["seconds"] == 40


def test_a_client_that_hangs_up_is_forgotten(app, url):
    body = json.dumps(
        {"audio": base64.b64encode(encode(voice(60))).decode(), "return_segments": True}
    ).encode()
    head = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    for sent in (body, body[:1000]):
        with socket.create_connection(address) as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + sent)
            time.sleep(0.2)
    assert ask(url).status_code == 200
    for _ in range(200):
        if app.state.service.waiting == 0:
            break
        time.sleep(0.05)
    assert app.state.service.waiting == 0


def test_a_full_queue_is_said(classifier):
    app = make_app(classifier, name="tiny", max_waiting=1)
    with served(app) as url, ThreadPoolExecutor(1) as client:
        running = client.submit(ask, url, encode(voice(30)), return_segments="true")
        while app.state.service.waiting == 0 and not running.done():
            time.sleep(0.01)
        reply = ask(url)
        refused(reply, 503)
        assert int(reply.headers["retry-after"]) >= 1
        assert running.result().status_code == 200
        assert ask(url).status_code == 200


def test_a_client_that_sends_nothing_is_given_up(url, monkeypatch):
    monkeypatch.setattr(server_input, "STALLED_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        client.settimeout(10)
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_a_token(classifier):
    with served(make_app(classifier, name="tiny", token="secret")) as url:
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}):
            for reply in (
                requests.post(f"{url}/v1/predict", files={"file": CLIP}, headers=headers),
                requests.get(f"{url}/v1/models", headers=headers),
            ):
                refused(reply, 401)
                assert reply.headers["www-authenticate"] == "Bearer"
        assert requests.get(f"{url}/health").status_code == 200
        right = {"authorization": "Bearer secret"}
        reply = requests.post(f"{url}/v1/predict", files={"file": CLIP}, headers=right)
        assert reply.status_code == 200


def test_it_can_be_mounted_in_another_app(classifier):
    outer, inner = FastAPI(), make_app(classifier, name="tiny")
    outer.mount("/api", inner)
    with served(outer) as url:
        assert ask(f"{url}/api").status_code == 200
        assert "/api/openapi.json" in requests.get(f"{url}/api/docs").text
    inner.state.service.close()
    assert classifier(CLIP)


def test_closing_finishes_what_waits(classifier):
    app = make_app(classifier, name="tiny")
    with served(app) as url, ThreadPoolExecutor(10) as clients:
        replies = [clients.submit(ask, url) for _ in range(10)]
        while app.state.service.waiting < 5 and not all(reply.done() for reply in replies):
            time.sleep(0.005)
        app.state.service.close()
        codes = {reply.result().status_code for reply in replies}
    assert 200 in codes and codes <= {200, 503}


def test_what_keeps_the_server_from_starting_is_one_line(model_folder, capsys):
    command = ["serve", "--model", str(model_folder), "--transcriber", "none"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refusal(capsys, main, [*command, "--port", port])
    assert "65535" in refusal(capsys, main, [*command, "--port", "70000"])
    assert "above 0" in refusal(capsys, main, [*command, "--max-waiting", "0"])


def test_the_command_stops_when_it_is_told_to(model_folder, tmp_path):
    command = [sys.executable, "-m", "speech_emotion", "serve", "--port", "0"]
    command += ["--model", str(model_folder), "--transcriber", "none"]
    env_folder = tmp_path / "tmp"
    env_folder.mkdir()
    with (
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(env_folder), "SPEECH_EMOTION_TOKEN": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        ThreadPoolExecutor(1) as client,
    ):
        url = re.match(r"http://[^/]+", process.stdout.readline())[0]
        running = client.submit(ask, url, encode(voice(30)), return_segments="true")
        while requests.get(f"{url}/health").json()["waiting"] == 0 and not running.done():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert running.result().json()["seconds"] == 30
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert list(env_folder.rglob("*")) == []
