"""The page's API, called with gradio_client as another program would."""

import time

import app
import pytest
import soundfile as sf
import soxr
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from space_server import Settings, serving
from transformers import pipeline

from hub_model.configuration_hubert_bert import EMOTIONS


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


def test_only_predict_is_public_and_it_is_documented(text_client):
    api = text_client.view_api(return_format="dict")
    assert list(api["named_endpoints"]) == ["/predict"]
    parameters = api["named_endpoints"]["/predict"]["parameters"]
    assert [p["parameter_name"] for p in parameters] == ["audio", "text"]
    assert [p["parameter_has_default"] for p in parameters] == [False, True]
    assert "one short clip of speech" in api["named_endpoints"]["/predict"]["description"]


def test_stock_checkpoint_answers_from_audio_alone(stock_client, angry_clip):
    answer = predict(stock_client, angry_clip)
    assert set(scores(answer)) == set(EMOTIONS)
    assert sum(scores(answer).values()) == pytest.approx(1)
    assert [r["score"] for r in answer["emotions"]] == sorted(scores(answer).values())[::-1]
    assert answer["modalities"] == ["audio"] and answer["transcript"] is None
    assert "audio alone" in answer["note"]
    assert answer["clip_seconds"] == pytest.approx(sf.info(angry_clip).duration, abs=0.01)


def test_stock_checkpoint_hears_the_same_at_another_rate(stock_client, angry_clip, tmp_path):
    waveform, rate = sf.read(angry_clip)
    resampled = tmp_path / "48k.wav"
    sf.write(resampled, soxr.resample(waveform, rate, 48_000), 48_000)
    one, other = predict(stock_client, angry_clip), predict(stock_client, resampled)
    assert scores(other) == pytest.approx(scores(one), abs=0.01)


def test_own_words_are_read(text_client, angry_clip):
    alone = predict(text_client, angry_clip)
    assert alone["modalities"] == ["audio"] and alone["note"]
    told = predict(text_client, angry_clip, "no leave me alone")
    assert told["modalities"] == ["audio", "text"]
    assert told["transcript"] == "no leave me alone" and told["transcript_source"] == "given"
    assert scores(told) != pytest.approx(scores(alone), abs=1e-4)


def test_the_same_as_the_pipeline(text_client, text_model, angry_clip):
    pipe = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    expected = {row["label"]: row["score"] for row in pipe(str(angry_clip))}
    assert scores(predict(text_client, angry_clip)) == pytest.approx(expected, abs=1e-6)


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


def test_what_the_pipeline_refuses_comes_without_server_paths(text_client, angry_clip, tmp_path):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(angry_clip.read_bytes()[:-20_000])
    with pytest.raises(AppError, match="cut.wav: truncated") as caught:
        predict(text_client, cut)
    assert "/" not in str(caught.value)
    assert predict(text_client, angry_clip)["emotions"]


def test_missing_transcriber_is_said(serve, text_model, angry_clip, tmp_path):
    missing = tmp_path / "no-whisper"
    client = Client(serve(model=str(text_model), transcriber=str(missing)), verbose=False)
    answer = predict(client, angry_clip)
    assert answer["modalities"] == ["audio"] and "no-whisper" in answer["note"]


def test_a_model_that_cannot_be_loaded_is_said(serve, tmp_path, angry_clip):
    client = Client(serve(model=str(tmp_path / "nothing")), verbose=False)
    with pytest.raises(AppError, match="nothing could not be loaded: there is no such folder"):
        predict(client, angry_clip)


def test_clips_leave_the_server(stock_model, angry_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "CLEANING_SECONDS", (1, 1))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with serving(Settings(model=str(stock_model))) as url:
        predict(Client(url, verbose=False), angry_clip)
        for _ in range(200):
            kept = [p for p in tmp_path.rglob("*.wav") if p.name == angry_clip.name]
            if not kept:
                break
            time.sleep(0.1)
    assert not kept
