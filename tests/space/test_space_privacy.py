"""What a visitor sends is gone from the server when the answer is out."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import soundfile as sf
from clips import ClipError
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from uploads import received, sweep, upload_folder

from tests.helpers.space_server import stored_files, wait_until_empty


@pytest.fixture(scope="module")
def url(serve, text_model) -> str:
    return serve(model=str(text_model))


@pytest.fixture(autouse=True)
def _nothing_left_from_before():
    sweep(upload_folder(), older_than=-1)
    assert not wait_until_empty()


def test_clip_is_gone_after_every_function(url, angry_clip):
    client, clip = Client(url, verbose=False), handle_file(angry_clip)
    for arguments, name in (
        ([clip], "/predict"),
        ([clip, "no"], "/explain"),
        ([clip], "/timeline"),
        ([[clip, clip]], "/batch"),
    ):
        assert client.predict(*arguments, api_name=name)
        assert wait_until_empty() == [], name


def test_refused_file_is_gone_as_well(url, tmp_path):
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("this is no audio")
    client = Client(url, verbose=False)
    for name in ("/predict", "/timeline"):
        with pytest.raises(AppError, match="could not be read as audio"):
            client.predict(handle_file(wrong), api_name=name)
        assert wait_until_empty() == []


def test_cancelled_recording_is_gone(url, angry_clip, tmp_path):
    recording = tmp_path / "recording.flac"
    waveform, rate = sf.read(angry_clip)
    sf.write(recording, waveform.tolist() * 40, rate)
    client = Client(url, verbose=False)
    job = client.submit(handle_file(recording), api_name="/timeline")
    while not [path for path in stored_files() if upload_folder() not in path.parents]:
        time.sleep(0.01)  # until the request has begun
    job.cancel()
    assert wait_until_empty() == []


def test_same_clip_from_many_at_once(url, angry_clip):
    def upload(_: int) -> str:
        with angry_clip.open("rb") as file:
            reply = httpx.post(
                f"{url}gradio_api/upload", files={"files": ("angry.wav", file)}, timeout=60
            )
        return reply.json()[0]

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(upload, range(16)))
    assert len(set(paths)) == 16
    assert all(Path(path).read_bytes() == angry_clip.read_bytes() for path in paths)

    async def ask_all() -> list[dict]:
        clients = [Client(url, verbose=False) for _ in range(3)]
        jobs = [c.submit(handle_file(angry_clip), api_name="/predict") for c in clients * 3]
        return [job.result() for job in jobs]

    answers = asyncio.run(ask_all())
    assert all(answer["emotions"] == answers[0]["emotions"] for answer in answers)


def test_taken_keeps_names_and_leaves_other_files_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    mine, example = tmp_path / "uploads" / "upload-1" / "a.wav", tmp_path / "example.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    example.write_bytes(b"example")
    with received([str(mine), str(example)]) as found:
        assert [path.name for path in found] == ["a.wav", "example.wav"]
        assert [path.read_bytes() for path in found] == [b"mine", b"example"]
        assert not mine.exists() and not mine.parent.exists()
    assert not found[0].exists() and example.exists()
    with pytest.raises(ClipError, match="no longer on the server"), received(str(mine)):
        pass
    with received(None) as nothing:
        assert nothing == []


def test_sweep_removes_what_is_old(tmp_path):
    old, new = tmp_path / "one" / "old.wav", tmp_path / "two" / "new.wav"
    for path in (old, new):
        path.parent.mkdir()
        path.write_bytes(b"x")
    long_ago = time.time() - 100
    os.utime(old, (long_ago, long_ago))
    sweep(tmp_path, older_than=50)
    assert not old.exists() and new.exists()
    sweep(tmp_path, older_than=-1)
    assert not new.exists() and not list(tmp_path.iterdir())
