"""The page in real headless Chromium, without the rest of the internet."""

import json
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.by import By

from scripts import make_screenshots as page

pytestmark = pytest.mark.skipif(
    not (shutil.which(page.BROWSER) and shutil.which(page.DRIVER)),
    reason="chromium and chromedriver are not installed",
)


@pytest.fixture(scope="module")
def browser():
    with page.chromium() as driver:
        yield driver


def chart(driver) -> dict[str, int]:
    """Read the probabilities, in per cent, off the page."""
    rows = driver.find_elements(By.CSS_SELECTOR, "#emotions .confidence-set")
    pairs = [row.text.split("\n") for row in rows]
    return {pair[0]: int(pair[-1].rstrip("%")) for pair in pairs}


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


def test_upload_answer_own_words_and_wrong_file(browser, serve, text_model, angry_clip, tmp_path):
    url = serve(model=str(text_model))
    line = page.ask_about(browser, url, angry_clip)
    assert "audio alone" in line and "No transcript: no transcriber was asked for." in line
    first = chart(browser)
    assert len(first) == 7 and sum(first.values()) == pytest.approx(100, abs=4)
    picture = browser.find_element(By.CSS_SELECTOR, "#picture img")
    assert picture.get_attribute("alt")

    screenshot = Path(os.environ.get("SPACE_SCREENSHOT", tmp_path / "space.png"))
    assert browser.save_screenshot(str(screenshot)) and screenshot.stat().st_size > 10_000

    browser.find_element(By.CSS_SELECTOR, "#transcript textarea").send_keys("no leave me alone")
    page.click(browser, "#again")
    page.wait_for(browser, "#status", "the audio and your text")

    browser.find_element(By.CSS_SELECTOR, "#clip button[aria-label='Clear']").click()
    page.wait_for(browser, "#status", "upload or record a clip")
    assert not chart(browser)
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("this is no audio")
    page.upload(browser, wrong)
    page.click(browser, "#ask")
    page.wait_for(browser, "#status [role=alert]", "could not be read as audio")
    assert outside_requests(browser) == []


def test_example_on_a_phone_sized_screen(serve, stock_model):
    with page.chromium(width=390, height=844) as phone:
        phone.get(serve(model=str(stock_model)))
        page.wait_for(phone, "#ask")
        names = [b for b in phone.find_elements(By.CSS_SELECTOR, "button") if b.text == "angry"]
        names[0].click()
        page.wait_for(phone, "#clip button[aria-label='Clear']")
        page.click(phone, "#ask")
        page.wait_for(phone, "#status", "answered from the audio alone")
        assert len(chart(phone)) == 7
        assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
        # A model that does not read gets no field for words.
        assert not phone.find_elements(By.CSS_SELECTOR, "#transcript textarea")


def test_page_of_a_model_that_cannot_be_loaded(browser, serve, tmp_path):
    browser.get(serve(model=str(tmp_path / "nothing")))
    page.wait_for(browser, "#status [role=alert]", "nothing could not be loaded")
