"""The page's API, called with gradio_client as another program would."""

import csv
import io
import json
import re
import time
import zipfile

import httpx
import jsonschema
import numpy as np
import pytest
import soundfile as sf
import soxr
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from settings import VERSION
from transformers import pipeline

import speech_emotion
from hub_model.labels import EMOTIONS
from tests.helpers.containers import ffmpeg, needs_ffmpeg


@pytest.fixture(scope="module")
def stock_client(serve, stock_model) -> Client:
    return Client(serve(model=str(stock_model), max_seconds=5.0), verbose=False)


@pytest.fixture(scope="module")
def text_client(serve, text_model) -> Client:
    return Client(serve(model=str(text_model)), verbose=False)


def scores(answer: dict) -> dict[str, float]:
    return {row["label"]: row["score"] for row in answer["emotions"]}


def predict(client: Client, clip, *text: str) -> dict:
    return client.predict(handle_file(clip), *text, api_name="/predict")


def test_every_function_is_public_and_documented(text_client):
    endpoints = text_client.view_api(return_format="dict")["named_endpoints"]
    names = {name: [p["parameter_name"] for p in e["parameters"]] for name, e in endpoints.items()}
    assert names == {
        "/predict": ["audio", "text"],
        "/explain": ["audio", "text"],
        "/timeline": ["recording", "window_s", "hop_s", "smoothing", "speakers"],
        "/batch": ["files"],
        "/benchmark": ["zip_file", "data_set", "config", "text"],
        "/about": [],
    }
    has_default = [p["parameter_has_default"] for p in endpoints["/predict"]["parameters"]]
    assert has_default == [False, True]
    assert "one short clip of speech" in endpoints["/predict"]["description"]
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_a_stock_checkpoint_is_audio_only(stock_client, angry_clip):
    answer = predict(stock_client, angry_clip)
    assert set(scores(answer)) == set(EMOTIONS)
    assert sum(scores(answer).values()) == pytest.approx(1)
    assert [r["score"] for r in answer["emotions"]] == sorted(scores(answer).values())[::-1]
    assert answer["modalities"] == ["audio"] and answer["transcript"] is None
    assert "audio-only" in answer["note"]
    assert answer["clip_seconds"] == pytest.approx(sf.info(angry_clip).duration, abs=0.01)


def test_a_stock_checkpoint_gives_the_same_at_another_rate(stock_client, angry_clip, tmp_path):
    waveform, rate = sf.read(angry_clip)
    resampled = tmp_path / "48k.wav"
    sf.write(resampled, soxr.resample(waveform, rate, 48_000), 48_000)
    one, other = predict(stock_client, angry_clip), predict(stock_client, resampled)
    assert scores(other) == pytest.approx(scores(one), abs=0.01)


def test_given_text_is_used(text_client, angry_clip):
    audio_only = predict(text_client, angry_clip)
    assert audio_only["modalities"] == ["audio"] and audio_only["note"]
    fused = predict(text_client, angry_clip, "no leave me alone")
    assert fused["modalities"] == ["audio", "text"]
    assert fused["transcript"] == "no leave me alone" and fused["transcript_source"] == "given"
    assert scores(fused) != pytest.approx(scores(audio_only), abs=1e-4)


def test_the_same_as_the_pipeline(text_client, text_model, angry_clip):
    pipe = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    expected = {row["label"]: row["score"] for row in pipe(str(angry_clip))}
    assert scores(predict(text_client, angry_clip)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("api_name", ["/predict", "/explain"])
def test_a_text_that_is_too_long(text_client, angry_clip, api_name):
    with pytest.raises(AppError, match="text is too long: at most 2000 characters") as caught:
        text_client.predict(handle_file(angry_clip), "word " * 4000, api_name=api_name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "long"])
def test_wrong_file_gives_one_line_and_the_next_request_works(
    stock_client, angry_clip, tmp_path, kind
):
    wrong = tmp_path / "wrong.wav"
    if kind == "text":
        wrong.write_text("this is no audio")
        words = "could not be read as audio"
    else:
        waveform, rate = sf.read(angry_clip)
        sf.write(wrong, waveform.repeat(3), rate)
        words = "too long: at most 5 seconds"
    with pytest.raises(AppError, match=words) as caught:
        predict(stock_client, wrong)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    assert set(scores(predict(stock_client, angry_clip))) == set(EMOTIONS)


@needs_ffmpeg
def test_a_voice_memo_of_a_phone_is_answered(text_client, stock_client, angry_clip, tmp_path):
    ffmpeg("-i", angry_clip, "-c:a", "aac", "-b:a", "128k", tmp_path / "memo.m4a")
    for client in (text_client, stock_client):
        memo, wav = predict(client, tmp_path / "memo.m4a"), predict(client, angry_clip)
        assert scores(memo) == pytest.approx(scores(wav), abs=0.1)


def test_errors_of_the_pipeline_have_no_server_paths(text_client, angry_clip, tmp_path):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(angry_clip.read_bytes()[:-20_000])
    with pytest.raises(AppError, match="cut.wav: truncated") as caught:
        predict(text_client, cut)
    assert "/" not in str(caught.value)
    assert predict(text_client, angry_clip)["emotions"]


def test_a_missing_transcriber_is_reported(serve, text_model, angry_clip, tmp_path):
    missing = tmp_path / "no-whisper"
    client = Client(serve(model=str(text_model), transcriber=str(missing)), verbose=False)
    answer = predict(client, angry_clip)
    assert answer["modalities"] == ["audio"] and "no-whisper" in answer["note"]


def test_a_model_that_cannot_be_loaded_is_reported(serve, tmp_path, angry_clip):
    client = Client(serve(model=str(tmp_path / "nothing")), verbose=False)
    with pytest.raises(AppError, match="nothing could not be loaded: there is no such folder"):
        predict(client, angry_clip)


def test_explain_gives_contributions(serve, text_model, angry_clip):
    client = Client(serve(model=str(text_model), threshold=1.0), verbose=False)
    answer = client.predict(handle_file(angry_clip), "no leave me alone", api_name="/explain")
    assert answer["unsure"] and answer["label"] is None
    parts = answer["contributions"]
    assert parts["fused"] == pytest.approx(scores(answer))
    assert 0 < parts["moved"]["text"] < 1 and set(parts["text"]) == set(EMOTIONS)
    audio_only = client.predict(handle_file(angry_clip), api_name="/explain")["contributions"]
    assert audio_only["text"] is None and audio_only["moved"] == {"audio": 1.0, "text": 0.0}


def test_explain_with_an_audio_only_model(stock_client, angry_clip):
    answer = stock_client.predict(handle_file(angry_clip), api_name="/explain")
    assert answer["contributions"] is None and len(answer["emotions"]) == 7


def test_noise_is_no_speech(text_client, tmp_path):
    noise = tmp_path / "noise.wav"
    sf.write(noise, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    with pytest.raises(AppError, match="no speech was found"):
        predict(text_client, noise)


def test_text_that_is_too_long(text_client, angry_clip):
    with pytest.raises(AppError, match="at most 2000 characters"):
        predict(text_client, angry_clip, "no " * 1000)


def test_batch_keeps_order_and_its_bad_rows(text_client, angry_clip, tmp_path):
    wrong, archive = tmp_path / "wrong.wav", tmp_path / "clips.zip"
    wrong.write_text("this is no audio")
    with zipfile.ZipFile(archive, "w") as file:
        file.write(angry_clip, "b/second.wav")
        file.write(wrong, "a/third.wav")
        file.writestr("notes.txt", "not a clip")
    files = [handle_file(path) for path in (angry_clip, archive, wrong)]
    answer = text_client.predict(files, api_name="/batch")
    rows = answer["rows"]
    assert [row["file"] for row in rows] == [
        "angry.wav",
        "b/second.wav",
        "a/third.wav",
        "wrong.wav",
    ]
    assert [row["error"] is None for row in rows] == [True, True, False, False]
    assert rows[0]["score"] == rows[1]["score"] == max(rows[0][name] for name in EMOTIONS)
    single = scores(predict(text_client, angry_clip))
    assert {name: rows[0][name] for name in EMOTIONS} == pytest.approx(single)
    table = list(csv.DictReader(io.StringIO(answer["csv"])))
    assert [row["file"] for row in table] == [row["file"] for row in rows]
    assert "could not be read" in table[2]["error"]


def test_batches_that_are_refused(serve, text_model, angry_clip, tmp_path):
    client = Client(serve(model=str(text_model), max_clips=2), verbose=False)
    with pytest.raises(AppError, match="too many clips: 3; at most 2"):
        client.predict([handle_file(angry_clip)] * 3, api_name="/batch")
    wrong = tmp_path / "clips.zip"
    wrong.write_text("this is no zip")
    with pytest.raises(AppError, match="no zip file"):
        client.predict([handle_file(wrong)], api_name="/batch")


def test_about_names_the_model(text_client, text_model):
    about = text_client.predict(api_name="/about")
    assert about["model"] == text_model.name and about["labels"] == list(EMOTIONS)
    assert about["reads_text"] and about["problem"] is None and about["max_seconds"] == 60


def test_openapi_page_and_a_call_by_hand(serve, text_model, angry_clip, capsys):
    """As with curl: an upload, a request, and its stream of events."""
    url = serve(model=str(text_model)) + "gradio_api"
    described = httpx.get(f"{url}/openapi.json", timeout=60).json()
    reply = described["paths"]["/gradio_api/call/predict/{event_id}"]["get"]["responses"]["200"]
    schema = reply["content"]["text/event-stream"]["schema"]["items"]
    assert schema == {"$ref": "#/components/schemas/predict"}
    assert described["info"]["version"] == VERSION == speech_emotion.__version__
    with angry_clip.open("rb") as file:
        [path] = httpx.post(f"{url}/upload", files={"files": file}, timeout=60).json()
    clip = {"path": path, "meta": {"_type": "gradio.FileData"}}
    reply = httpx.post(f"{url}/call/predict", json={"data": [clip, ""]}, timeout=60).json()
    stream = httpx.get(f"{url}/call/predict/{reply['event_id']}", timeout=60).text
    assert "event: complete" in stream
    [answer] = json.loads(stream.split("data: ")[-1])
    assert set(scores(answer)) == set(EMOTIONS)
    jsonschema.validate(answer, described["components"]["schemas"]["predict"])
    capsys.readouterr()
    for data in ([], [None, ""], [5, ""], [{"path": "/etc/passwd", "meta": clip["meta"]}, ""]):
        reply = httpx.post(f"{url}/call/predict", json={"data": data}, timeout=60)
        stream = httpx.get(f"{url}/call/predict/{reply.json()['event_id']}", timeout=60).text
        line = json.loads(stream.split("data: ")[-1])["error"]
        assert line and "\n" not in line and "Traceback" not in line, data
    assert "Traceback" not in capsys.readouterr().err


def test_a_clip_does_not_wait_for_the_end_of_a_recording(text_client, angry_clip, tmp_path):
    waveform, rate = sf.read(angry_clip)
    recording = tmp_path / "talk.flac"
    sf.write(recording, np.tile(waveform, 90), rate)
    job = text_client.submit(handle_file(recording), 1, 0.25, api_name="/timeline")
    while job.status().code != Status.PROCESSING and not job.done():
        time.sleep(0.01)
    assert predict(text_client, angry_clip)["emotions"] and not job.done()
    assert job.result()["segments"][-1]["end"] == pytest.approx(90 * 2.355, abs=0.1)


def test_links_to_the_page_have_a_picture_and_a_description(serve, text_model):
    url = serve(model=str(text_model))
    text = httpx.get(url, timeout=60).text
    for name in ("og:image", "og:description", "og:title"):
        assert re.search(rf'property="{name}"\s+content="[^"]+"', text), name
    [picture] = re.findall(r'property="og:image"\s+content="/([^"]+)"', text)
    assert httpx.get(url + picture, timeout=60).headers["content-type"] == "image/png"
