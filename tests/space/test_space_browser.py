"""The page in real headless Chromium, without the rest of the internet."""

import csv
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from uploads import sweep, upload_folder

from hub_model.labels import EMOTIONS
from tests.helpers.made_benchmark import write_ravdess
from tests.helpers.space_page import chart, clear, needs_browser, on_a_phone, page, serious
from tests.helpers.space_server import wait_until_empty

pytestmark = needs_browser


@pytest.fixture(scope="module")
def url(serve, text_model) -> str:
    return serve(model=str(text_model))


def table(driver, field: str) -> list[list[str]]:
    """Read the rows of an answer's table."""
    script = """return [...document.querySelectorAll(arguments[0])].map(
        (row) => [...row.querySelectorAll("th, td")].map((cell) => cell.innerText.trim()))"""
    return driver.execute_script(script, f"#{field} tbody tr")


def watch_for(driver, css: str) -> None:
    """Have the page itself note when an element comes, however soon it goes again."""
    script = """window.hasShown = false; window.watcher?.disconnect();
        window.watcher = new MutationObserver(() => {
            window.hasShown ||= Boolean(document.querySelector(arguments[0])); });
        window.watcher.observe(document.body, {childList: true, subtree: true});"""
    driver.execute_script(script, css)


def has_shown(driver) -> bool:
    """Tell whether what the page was told to watch for has come."""
    return driver.execute_script("return window.hasShown")


def downloaded(driver, field: str, name: str, *, text: bool = True) -> str | bytes:
    """Click on a download and return the file's text, or its bytes."""
    target = driver.downloads / name
    target.unlink(missing_ok=True)
    page.click(driver, f"#{field} a[download='{name}']")
    page.patiently(driver).until(
        lambda _: target.is_file() and target.stat().st_size, f"{name} never came"
    )
    return target.read_text(encoding="utf-8") if text else target.read_bytes()


def outside_requests(driver) -> list[str]:
    """Return what the page asked of any other host since the last call."""
    entries = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        entry["params"]["request"]["url"]
        for entry in entries
        if entry["method"] == "Network.requestWillBeSent"
    ]
    assert urls
    return [url for url in urls if url.startswith("http") and "//127.0.0.1:" not in url]


def test_upload_answer_own_words_and_wrong_file(browser, url, angry_clip, tmp_path):
    line = page.classify(browser, url, angry_clip)
    assert "audio only" in line and "No transcript: no transcriber was asked for." in line
    assert "no emotion reaches 35%" in page.wait_for(browser, "#answer .remark").lower()
    first = chart(browser)  # of random weights
    assert len(first) == 7 and sum(first.values()) == pytest.approx(100, abs=4)
    picture = browser.find_element(By.CSS_SELECTOR, "#more img")
    assert "spectrogram of the clip, 2.4 s" in picture.get_attribute("alt")
    page.wait_for(browser, "#more summary", "there are no words")
    answer = json.loads(downloaded(browser, "more", "emotion.json"))
    assert answer["emotions"][0]["label"] == next(iter(first))

    screenshot = Path(os.environ.get("SPACE_SCREENSHOT", tmp_path / "space.png"))
    assert browser.save_screenshot(str(screenshot)) and screenshot.stat().st_size > 10_000

    # The server has forgotten the clip; the page sends its own copy.
    browser.find_element(By.CSS_SELECTOR, "#transcript textarea").send_keys("no leave me alone")
    page.click(browser, "#again")
    page.wait_for(browser, "#status", "audio and your text")
    assert len(table(browser, "more")) == 7
    assert serious(browser) == []

    clear(browser, "clip")
    page.wait_for(browser, "#status", "record or upload a clip")
    assert not chart(browser)
    assert not browser.find_elements(By.CSS_SELECTOR, "#transcript textarea, #more .answer")
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("this is no audio")
    page.upload(browser, wrong)
    page.wait_for(browser, "#status [role=alert]", "could not be read as audio")
    assert outside_requests(browser) == []


def test_microphone_stops_after_three_seconds(browser, url):
    browser.get(url)
    page.click(browser, "#clip button[aria-label='Record audio'], #clip [title='Record audio']")
    page.click(browser, "#clip .record-button")
    line = page.wait_for(browser, "#status", "classified from audio only")
    seconds = float(line.rsplit("(", 1)[1].split(" s of audio")[0])
    assert 2 < seconds < 12  # a busy machine stops late
    assert len(chart(browser)) == 7


def test_long_recording_timeline_player_and_downloads(browser, url, talk):
    page.open_tab(browser, url, "Recording")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status [role=alert]", "there is no recording yet")
    page.upload(browser, talk, field="recording")
    for _ in range(2):  # the second time from the page's own copy
        watch_for(browser, "#recording-status progress")
        page.click(browser, "#recording-ask")
        page.patiently(browser).until(has_shown, "the page never showed how far it is")
        page.wait_for(browser, "#recording-answer tbody tr")
        page.wait_for(browser, "#recording-status", "segments in")
        rows = table(browser, "recording-answer")
        assert any("no speech" in row[2] for row in rows) and len(rows) >= 3
    page.wait_for(browser, "#recording-answer [role=img]")
    assert serious(browser) == []

    lines = list(
        csv.DictReader(downloaded(browser, "recording-answer", "segments.csv").split("\n"))
    )
    assert len(lines) == len(rows) and lines[0]["start"] == "0.0"
    assert downloaded(browser, "recording-answer", "segments.srt").startswith("1\n00:00:00,000 -->")
    assert "IntervalTier" in downloaded(browser, "recording-answer", "segments.TextGrid")
    # The link of the file itself, which the server has removed.
    assert downloaded(browser, "recording", talk.name, text=False) == talk.read_bytes()

    now = "return document.querySelector('#recording-answer audio').currentTime"
    # A click of the mouse: no browser lets a script begin to play.
    second = "#recording-answer tbody tr:nth-child(2) button"
    page.patiently(browser).until(
        lambda driver: driver.find_element(By.CSS_SELECTOR, second).click() or True
    )
    start = float(lines[1]["start"])
    page.patiently(browser).until(
        lambda driver: driver.execute_script(now) > start, "it does not play"
    )
    page.wait_for(browser, "#recording-answer tr.now")


def test_long_recording_can_be_cancelled(browser, url, talk, tmp_path):
    waveform, rate = sf.read(talk)
    sweep(upload_folder(), older_than=-1)  # what other tests have uploaded, and not asked about
    hours = tmp_path / "hours.flac"
    sf.write(hours, np.tile(waveform, 60), rate)
    page.open_tab(browser, url, "Recording")
    page.upload(browser, hours, field="recording")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status", "classified")
    page.click(browser, "#recording-stop")
    page.wait_for(browser, "#recording-status", "cancelled")
    assert wait_until_empty() == []
    assert "Cancelled" in page.wait_for(browser, "#recording-status")


def test_zip_and_clips(browser, url, angry_clip, tmp_path):
    name = "<img src=x onerror=alert(1)>.wav"
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(angry_clip, name)
        file.writestr("broken.wav", b"this is no audio")
    page.open_tab(browser, url, "Batch")
    page.upload(browser, angry_clip, archive, field="clips")
    page.click(browser, "#clips-ask")
    page.wait_for(browser, "#clips-status", "2 of 3 clips classified. 1 could not be used")
    rows = table(browser, "clips-answer")
    assert rows[0][0] == "broken.wav" and "angry.wav" in rows[1][0]
    assert "could not be read as audio" in rows[0][1]
    browser.find_element(By.CSS_SELECTOR, "#clips-answer tr[data-sound]").click()
    page.wait_for(browser, "#clips-answer tr.now", "angry.wav")
    assert not browser.find_elements(By.CSS_SELECTOR, "#clips-answer img")
    assert serious(browser) == []
    lines = list(csv.DictReader(downloaded(browser, "clips-answer", "emotions.csv").split("\n")))
    assert len(lines) == 3 and lines[0]["score"] == lines[1]["score"]


def test_benchmark_of_a_zip(browser, serve, text_model, tmp_path):
    write_ravdess(tmp_path / "raw")
    archive = Path(shutil.make_archive(str(tmp_path / "RAVDESS"), "zip", tmp_path / "raw"))
    page.open_tab(browser, serve(model=str(text_model)), "Benchmark")
    page.upload(browser, archive, field="benchmark")
    page.click(browser, "#benchmark-ask")
    report = page.wait_for(browser, "#benchmark-report", "Table 9, as printed")
    assert "WA" in report and "UA" in report and "neutral" in report
    page.wait_for(browser, "#benchmark-answer")
    assert browser.find_elements(By.CSS_SELECTOR, "#benchmark-answer img")
    picture = downloaded(browser, "benchmark-answer", "ravdess.png", text=False)
    assert picture.startswith(b"\x89PNG")
    assert serious(browser) == []


def test_compare_two_models(browser, serve, text_model, stock_model, angry_clip):
    page.open_tab(
        browser, serve(model=str(text_model), compare_models=(str(stock_model),)), "Compare"
    )
    page.upload(browser, angry_clip, field="compare-clip")
    page.click(browser, "#compare-ask")
    page.wait_for(browser, "#compare-status", "agree")
    rows = table(browser, "compare-answer")
    assert len(rows) == 9 and all(len(row) == 3 for row in rows)
    heads = browser.find_element(By.CSS_SELECTOR, "#compare-answer thead").text
    assert text_model.name in heads and stock_model.name in heads
    lines = downloaded(browser, "compare-answer", "compared.csv").splitlines()
    assert lines[0] == f"emotion,{text_model.name},{stock_model.name}"
    assert {line.split(",")[0] for line in lines[1:]} == set(EMOTIONS)
    assert serious(browser) == []


def test_the_timer_of_one_recording_does_not_stop_the_next(browser, url):
    browser.get(url)
    page.wait_for(browser, "#status")
    script = """const done = arguments[0], field = document.createElement("div");
        field.id = "made"; field.innerHTML = "<button class='stop-button'></button>";
        document.body.append(field);
        let stops = 0; field.firstChild.onclick = () => { stops += 1; };
        const seen = [];
        window.ser.stopAfter(true, 0.4, "made");
        setTimeout(() => window.ser.stopAfter(true, 0.6, "made"), 200);
        setTimeout(() => seen.push(stops), 600);
        setTimeout(() => { seen.push(stops); field.remove(); done(seen); }, 1100);"""
    assert browser.execute_async_script(script) == [0, 1]


def test_the_live_tab_listens(browser, url):
    page.open_tab(browser, url, "Live")
    page.click(browser, "#listen")
    page.wait_for(browser, "#live-answer .best")
    page.wait_for(browser, "#live-answer .best", "no speech")  # the silence in the recording
    assert len(browser.find_elements(By.CSS_SELECTOR, "#live-answer polyline")) >= 7
    page.click(browser, "#silence")
    assert "no sound has been kept" in page.wait_for(browser, "#live-status", "stopped").lower()
    assert serious(browser) == []


def test_a_recording_from_the_microphone(browser, url):
    page.open_tab(browser, url, "Recording")
    page.wait_for(browser, "button", "Record it here")
    [fold] = [b for b in browser.find_elements(By.TAG_NAME, "button") if "Record it" in b.text]
    fold.click()
    page.click(browser, "#recording-microphone .record-button")
    time.sleep(4)
    page.click(browser, "#recording-microphone .stop-button")
    page.wait_for(browser, "#recording", "wav")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status", "segment")


def test_the_waveform_by_keyboard(browser, url, talk):
    page.open_tab(browser, url, "Recording")
    page.upload(browser, talk, field="recording")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status", "segments in")
    wave = browser.find_element(By.CSS_SELECTOR, "#recording-answer .wave")
    page.patiently(browser).until(
        lambda driver: driver.execute_script(
            "return document.querySelector('#recording-answer audio').readyState"
        )
    )
    for key, at in ((Keys.ARROW_RIGHT, 5), (Keys.ARROW_UP, 10), (Keys.ARROW_LEFT, 5)):
        wave.send_keys(key)
        page.patiently(browser).until(
            lambda _, at=at: wave.get_attribute("aria-valuenow") == str(at), f"not at {at} s"
        )


def test_about(browser, url):
    page.open_tab(browser, url, "About")
    text = page.wait_for(browser, "#about", "intended use")
    assert "Licence of the weights: cc-by-nc-4.0." in text
    assert "Data: ravdess." in text and "acted speech" in text


def test_example_on_a_phone_sized_screen(browser, serve, stock_model, text_model):
    phone = browser
    with on_a_phone(phone):
        phone.get(serve(model=str(stock_model), compare_models=(str(text_model),)))
        top = "return document.getElementById('status').getBoundingClientRect().top"
        for name in ("angry", "happy"):  # an example stays on the server
            page.wait_for(phone, "button", name)
            [button] = [b for b in phone.find_elements(By.CSS_SELECTOR, "button") if b.text == name]
            button.click()
            page.wait_for(phone, "#status", "classified from audio only")
            page.patiently(phone).until(lambda driver: len(chart(driver)) == 7, "no chart")
            page.patiently(phone).until(
                lambda driver: driver.execute_script(top) < 60, "it does not scroll to the answer"
            )
        assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
        small = """return [...document.querySelectorAll("#clip button, .answer a, .answer summary")]
            .filter((one) => one.offsetParent && Math.min(one.offsetWidth, one.offsetHeight) < 24)
            .map((one) => one.outerHTML)"""
        assert phone.execute_script(small) == []
        tabs = [tab.text for tab in phone.find_elements(By.CSS_SELECTOR, "button[role=tab]")]
        assert tabs == ["Clip", "Recording", "Live", "Batch", "Compare", "Benchmark", "About"]
        # A model that does not read gets no field for words.
        assert not phone.find_elements(By.CSS_SELECTOR, "#transcript textarea")


def test_axe_finds_nothing_serious(browser, url, angry_clip):
    """In a tab before its answer; the tests of the tabs look at the answers."""
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    with on_a_phone(browser):
        page.classify(browser, url, angry_clip)
        for tab in ("Clip", "Recording", "Live", "Batch", "Benchmark", "About"):
            page.open_tab(browser, None, tab)
            assert serious(browser) == [], tab


def test_page_of_a_model_that_cannot_be_loaded(browser, serve, tmp_path):
    url = serve(model=str(tmp_path / "nothing"))
    browser.get(url)
    page.wait_for(browser, "#status [role=alert]", "nothing could not be loaded")
    page.open_tab(browser, url, "Batch")
    page.wait_for(browser, "#clips-status [role=alert]", "nothing could not be loaded")
