"""Listening to visitors over `/live`, and the one-call server beside the page."""

import base64
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from threading import Thread

import httpx
import live
import numpy as np
import pytest
import soundfile as sf
import soxr
from transformers import pipeline

from hub_model.labels import EMOTIONS


@pytest.fixture(scope="module")
def url(serve, text_model) -> str:
    return serve(model=str(text_model), threshold=0.0)


@pytest.fixture(scope="module")
def voices(angry_clip) -> list[np.ndarray]:
    """Two recordings of some 9 s at 16 kHz, int16."""
    waveform, rate = sf.read(angry_clip)
    one = np.tile(soxr.resample(waveform, rate, 16_000), 4) * 32_000
    other = np.tile(soxr.resample(waveform, rate, 12_000), 5) * 32_000
    return [one.astype("<i2"), other.astype("<i2")]


def send(url: str, name: str, samples: np.ndarray, **more: str) -> httpx.Response:
    """Send a chunk of a visitor."""
    options = {"rate": "16000", **more}
    return httpx.post(f"{url}live/{name}", params=options, content=samples.tobytes(), timeout=60)


def test_two_visitors_at_once_have_their_own_answers(url, text_model, voices):
    classifier = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    shown: dict[int, str] = {}

    def visit(number: int) -> None:
        name, samples = str(uuid.uuid4()), voices[number]
        for at in range(0, samples.size, 8000):
            assert send(url, name, samples[at : at + 8000]).status_code == 200
        last = send(url, name, samples[:0], last="1").json()
        assert last["ended"] and "Stopped after" in last["status"]
        shown[number] = last["answer"]

    threads = [Thread(target=visit, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, samples in enumerate(voices):
        heard = classifier.live(window_s=live.WINDOW_S, hop_s=live.HOP_S, abstain_below=0.0)
        windows = [*heard.add(samples), *heard.finish()]
        assert shown[number] == live.line_html(windows) + live.files_of(windows)
    assert shown[0] != shown[1]


def test_silence_is_no_speech(url):
    reply = send(url, str(uuid.uuid4()), np.zeros(80_000, "<i2"), last="1").json()
    assert "no speech" in reply["answer"]
    [table] = re.findall(r'download="live.csv" href="data:[^,]+,([^"]+)"', reply["answer"])
    first, *rows = base64.b64decode(table).decode().splitlines()
    assert first == "start,end,label,score" and rows == ["0.0,4.0,no speech,", "1.0,5.0,no speech,"]


@pytest.mark.parametrize(("heard", "span"), [(1, 1), (3, 2), (60, 59)])
def test_the_line_is_as_wide_as_what_was_heard(heard, span):
    scores = {"angry": 0.25, "sad": 0.75}
    window = {"label": "sad", "score": 0.75, "scores": scores}
    line = live.line_html([window] * heard)
    assert f'viewBox="0 0 {span} 115"' in line and f"<span>{span} s ago</span>" in line
    [points] = re.findall(r'points="([^"]+)" stroke="#2563eb"', line)
    places = [float(point.split(",")[0]) for point in points.split()]
    assert places[-1] == span and places[0] == (0 if heard > 1 else span)


def test_requests_that_cannot_be_read_are_one_line(url, serve, stock_model):
    name, some = str(uuid.uuid4()), np.zeros(100, "<i2")
    for reply in (
        send(url, "me", some),
        send(url, name, some, rate="fast"),
        send(url, name, some, rate="3"),
        send(url, name, some.view("i1")[:7]),
        send(serve(model=str(stock_model)), name, some),
    ):
        assert reply.status_code == 422 and reply.json()["ended"]
        assert 'role="alert"' in reply.json()["status"] and "\n" not in reply.json()["status"]


def test_one_call(url, angry_clip, serve, stock_model):
    with angry_clip.open("rb") as file:
        reply = httpx.post(f"{url}v1/predict", files={"file": file}, timeout=60)
    assert {row["label"] for row in reply.json()["emotions"]} == set(EMOTIONS)
    with angry_clip.open("rb") as file:
        reply = httpx.post(
            f"{url}v1/predict", files={"file": file}, data={"return_segments": "true"}, timeout=60
        )
    assert reply.json()["segments"]
    for body, status in (({"file": b"no audio"}, 422), ({"other": b""}, 400)):
        reply = httpx.post(f"{url}v1/predict", files=body, timeout=60)
        assert reply.status_code in (status, 422) and "\n" not in reply.json()["error"]
    assert "Answer" in httpx.get(f"{url}openapi.json").json()["components"]["schemas"]
    assert "swagger" in httpx.get(f"{url}docs").text.lower()
    stock = serve(model=str(stock_model))
    reply = httpx.post(f"{stock}v1/predict", files={"file": b"x"}, timeout=60)
    assert reply.status_code == 501 and "stock checkpoint" in reply.json()["error"]


def test_one_call_has_the_limits_of_the_page(serve, text_model, angry_clip, talk, tmp_path):
    url = serve(model=str(text_model), max_seconds=2.0, max_recording_minutes=0.1)
    short = tmp_path / "short.wav"
    waveform, rate = sf.read(angry_clip)
    sf.write(short, waveform[: round(1.9 * rate)], rate)

    def sent(file: Path, **options: str) -> httpx.Response:
        with file.open("rb") as opened:
            return httpx.post(f"{url}v1/predict", files={"file": opened}, data=options, timeout=60)

    files = [angry_clip]
    if shutil.which("ffmpeg"):  # what goes through a pipe does not say how long it is
        streamed = ("-f", "webm", "-live", "1", "-c:a", "libopus", "pipe:1")
        command = ["ffmpeg", "-v", "error", "-i", str(angry_clip), *streamed]
        files.append(tmp_path / "streamed.webm")
        files[-1].write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    recording = {"return_segments": "true"}
    refused = [
        *((sent(file), "The clip is too long: at most 2 seconds are accepted.") for file in files),
        (sent(talk, **recording), "The recording is too long: at most 0.1 minutes are accepted."),
        (sent(short, text="word " * 4000), "The text is too long: at most 2000 characters are"),
    ]
    for reply, words in refused:
        assert reply.status_code == 422 and reply.json()["error"].startswith(words)
    assert sent(short, text="no leave me").json()["modalities"] == ["audio", "text"]
    assert sent(angry_clip, **recording).json()["segments"]
