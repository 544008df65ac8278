"""Who waits for whom while a transcriber works, and what the page says meanwhile."""

import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial

import httpx
import numpy as np
import pytest
import soundfile as sf
from classifier import Classifier
from clips import Clip, read_clip
from gradio_client import Client, handle_file
from live import Listeners
from lock import Request, in_steps
from one_call import OneCall
from settings import Settings
from timeline import run

from hub_model.results import Options
from speech_emotion.predict.server_queue import Job
from tests.helpers.slow_transcriber import WORDS, SlowTranscriber
from tests.helpers.space_page import chart, needs_browser, page
from tests.helpers.space_server import loaded, serving, stored_files, wait_until_empty


@pytest.fixture(scope="module")
def slow() -> SlowTranscriber:
    return SlowTranscriber()


@pytest.fixture(scope="module", autouse=True)
def _slow_models(slow) -> Iterator[None]:
    """Every custom checkpoint has the slow transcriber."""
    load = Classifier._load

    def loaded(self):
        found = load(self)
        return slow.of(found) if getattr(found, "supports_text", False) else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, "_load", loaded)
        yield


@pytest.fixture(autouse=True)
def _nothing_goes_on(slow) -> Iterator[None]:
    slow.free.set()
    yield
    slow.free.set()
    ended()


@pytest.fixture(scope="module")
def classifier(text_model) -> Classifier:
    found = Classifier(Settings(model=str(text_model), threshold=0.0))
    found.load()
    return found


@pytest.fixture(scope="module")
def clip(angry_clip) -> Clip:
    return read_clip(angry_clip, max_seconds=60, max_megabytes=25)


def ended() -> None:
    """Wait for the end of every thread that asks a model."""
    for thread in threading.enumerate():
        if thread.name == "asking":
            thread.join(60)
            assert not thread.is_alive()


def until_it_waits(steps) -> Request:
    for step in steps:
        assert isinstance(step, Request), "it did not wait"
        if step.waits:
            return step
    raise AssertionError("it ended")


def until_busy(steps, slow) -> None:
    while not slow.busy.is_set():
        next(steps)


def test_a_clip_is_answered_while_a_recording_is_transcribed(classifier, slow, talk, clip):
    slow.hold()
    steps = run(classifier, talk)
    until_busy(steps, slow)
    voice = classifier.classify(talk, clip, text="")
    assert voice.modalities == ["audio"] and slow.busy.is_set()
    samples = np.tile((32_000 * clip.resampled(16_000)).astype("<i2"), 3)
    heard = Listeners(classifier).hear(str(uuid.uuid4()), samples, rate=16_000, last=True)
    assert "live.csv" in heard["answer"] and slow.busy.is_set()

    # Only its words wait.
    asked = in_steps(partial(classifier.classify, talk, clip))
    request, started = until_it_waits(asked), time.perf_counter()
    while request.waited == 0 and time.perf_counter() < started + 1:
        next(asked)
    assert slow.calls == 1
    slow.free.set()
    *_, result = asked
    seconds = time.perf_counter() - started
    assert result.transcript == WORDS and "text" in result.modalities
    assert result.elapsed_seconds <= seconds - 1, "the time that it waited does not count"
    *_, recording = steps
    assert recording.share == 1 and "no" in {s["transcript"] for s in recording.segments}


def test_a_cancelled_recording_frees_the_model_at_once(classifier, slow, talk, clip):
    slow.hold()
    steps = run(classifier, talk)
    until_busy(steps, slow)
    steps.close()
    assert classifier.classify(talk, clip, text="").emotions
    assert slow.busy.is_set() and slow.calls == 1
    slow.free.set()
    ended()
    assert slow.calls == 1


def test_a_cancelled_recording_that_waits_is_not_transcribed(classifier, slow, talk, clip):
    slow.hold()
    first = in_steps(partial(classifier.classify, talk, clip))
    until_busy(first, slow)
    steps = run(classifier, talk)
    while not next(steps).waits:
        pass
    steps.close()
    slow.free.set()
    ended()
    assert slow.calls == 1
    assert [*first][-1].transcript == WORDS


def test_a_request_that_waits_for_the_model_and_is_cancelled(classifier, talk, clip):
    asked = in_steps(partial(classifier.classify, talk, clip, text=""))
    with classifier.lock:
        until_it_waits(asked)
        forward = classifier._forward
        asked.close()
    try:
        classifier._forward = pytest.fail
        ended()
    finally:
        classifier._forward = forward


def test_a_model_is_loaded_for_all_although_its_first_request_is_cancelled(text_model):
    one, cancelled = Classifier(Settings(model=str(text_model))), threading.Event()

    def ask() -> None:
        assert cancelled.wait(60)
        one.load()

    asked = in_steps(ask)
    next(asked)
    asked.close()
    cancelled.set()
    ended()
    assert one._begun and one.problem is None


def test_one_call_and_the_page_share_the_transcriber(classifier, slow, talk, clip, angry_clip):
    service = OneCall(classifier)._make().state.service
    source = {"bytes": talk.read_bytes(), "path": talk.name}

    def recording() -> Job:
        return service.submit(Job(source, Options(return_segments=True)))

    slow.hold()
    job = recording()
    assert slow.busy.wait(60)
    assert classifier.classify(angry_clip, clip, text="").emotions and slow.busy.is_set()
    slow.free.set()
    assert job.future.result(60)["segments"]

    slow.hold()
    mine = in_steps(partial(classifier.classify, angry_clip, clip))
    until_busy(mine, slow)
    lock, gone = classifier.lock, recording()
    before = lock._next_ticket
    while lock._next_ticket == before or lock._serving < lock._next_ticket:
        pass  # until it has had the model, and waits for the transcriber
    assert not gone.future.done()
    gone.cancel()
    slow.free.set()
    assert [*mine][-1].transcript == WORDS
    assert service.submit(Job(angry_clip, Options(), "")).future.result(60)
    assert slow.calls == 1
    service.close()


@pytest.fixture(scope="module")
def url(text_model) -> Iterator[str]:
    with serving(Settings(model=str(text_model), threshold=0.0)) as address:
        yield loaded(address)


@needs_browser
def test_the_page_says_that_a_clip_waits(browser, url, slow, talk, angry_clip):
    other = Client(url, verbose=False)
    slow.hold()
    job = other.submit(handle_file(talk), api_name="/timeline")
    assert slow.busy.wait(60)
    browser.get(url)
    page.upload(browser, angry_clip)
    said = page.wait_for(browser, "#status", "waiting for another request")
    assert "This is what the voice alone says:" in said and slow.busy.is_set()
    assert len(chart(browser)) == 7
    slow.free.set()
    page.wait_for(browser, "#status", "audio and its transcript")
    assert job.result(60)["segments"]


@needs_browser
def test_a_comparison_waits(browser, text_model, stock_model, slow, angry_clip):
    settings = Settings(model=str(text_model), compare_models=(str(stock_model),))
    with serving(settings) as url:
        job = Client(url, verbose=False).submit(handle_file(angry_clip), api_name="/predict")
        assert job.result(60)["transcript"] == WORDS
        slow.hold()
        job = Client(url, verbose=False).submit(handle_file(angry_clip), api_name="/predict")
        assert slow.busy.wait(60)
        page.open_tab(browser, url, "Compare")
        page.upload(browser, angry_clip, field="compare-clip")
        page.click(browser, "#compare-ask")
        page.wait_for(browser, "#compare-status", "waiting for another request")
        slow.free.set()
        page.wait_for(browser, "#compare-status", "agree")
        assert job.result(60)["transcript"] == WORDS


@needs_browser
def test_a_recording_is_cancelled_while_it_waits(browser, url, slow, talk, angry_clip):
    slow.hold()
    job = Client(url, verbose=False).submit(handle_file(angry_clip), api_name="/predict")
    assert slow.busy.wait(60)
    page.open_tab(browser, url, "Recording")
    page.upload(browser, talk, field="recording")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status", "waiting for another request. classified 0:00")
    page.click(browser, "#recording-stop")
    page.wait_for(browser, "#recording-status", "cancelled")
    page.patiently(browser).until(lambda _: talk.name not in {f.name for f in stored_files()})
    assert slow.busy.is_set()
    assert httpx.get(url, timeout=10).status_code == 200
    slow.free.set()
    assert job.result(60)["transcript"] == WORDS
    assert wait_until_empty() == []
    ended()
    assert slow.calls == 1


@needs_browser
def test_the_server_goes_on_while_a_cancelled_recording_is_transcribed(
    browser, url, slow, talk, tmp_path
):
    waveform, rate = sf.read(talk)
    long = tmp_path / "long.flac"
    sf.write(long, np.tile(waveform, 6), rate)
    page.open_tab(browser, url, "Recording")
    page.upload(browser, long, field="recording")
    slow.hold()
    page.click(browser, "#recording-ask")
    assert slow.busy.wait(60)
    page.click(browser, "#recording-stop")
    page.wait_for(browser, "#recording-status", "cancelled")
    assert wait_until_empty() == []
    assert httpx.get(url, timeout=10).status_code == 200
    assert slow.busy.is_set()
    slow.free.set()
    ended()
    assert slow.calls == 1
