"""An answer belongs to the input that is beside it, in a real browser, in every tab."""

import shutil
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from classifier import Classifier
from lock import FairLock
from selenium.webdriver.common.by import By

from tests.helpers.space_page import chart, clear, needs_browser, page
from tests.helpers.space_server import loaded

pytestmark = needs_browser

SLOW_SECONDS = 1.5


@pytest.fixture(scope="module")
def url(serve, text_model) -> str:
    return loaded(serve(model=str(text_model)))


@pytest.fixture
def slow(monkeypatch) -> None:
    """Let every request wait for the model."""
    enter = FairLock.__enter__

    def wait_and_enter(self):
        time.sleep(SLOW_SECONDS)
        enter(self)

    monkeypatch.setattr(FairLock, "__enter__", wait_and_enter)


def zipped(clip: Path, file: Path) -> Path:
    """A zip with the clip, named as in RAVDESS."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(clip, "03-01-05-01-01-01-01.wav")
    return file


@pytest.mark.usefixtures("slow")
def test_an_answer_never_appears_beside_another_clip(browser, url, angry_clip, talk):
    browser.get(url)
    page.upload(browser, angry_clip)
    page.wait_for(browser, "#status", "listening to the voice")
    clear(browser, "clip")
    page.wait_for(browser, "#status", "record or upload a clip")
    page.upload(browser, talk)
    line = page.wait_for(browser, "#status", "classified from audio only")
    assert "(2.4 s of audio)" not in line and len(chart(browser)) == 7
    clear(browser, "clip")
    page.wait_for(browser, "#status", "record or upload a clip")
    time.sleep(SLOW_SECONDS)
    assert not chart(browser)


@pytest.mark.usefixtures("slow")
def test_the_voice_is_answered_before_its_words(browser, url, angry_clip, monkeypatch):
    monkeypatch.setattr(Classifier, "transcribes", True)
    browser.get(url)
    page.upload(browser, angry_clip)
    page.wait_for(browser, "#status", "transcribing the words")
    assert browser.find_elements(By.CSS_SELECTOR, "#status progress")
    first = chart(browser)
    assert len(first) == 7
    assert not browser.find_elements(By.CSS_SELECTOR, "#transcript textarea")
    page.wait_for(browser, "#status", "classified from")
    assert chart(browser) == first  # there is no transcript


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("tab", "field", "said"),
    [
        ("Compare", "compare-clip", "agree"),
        ("Recording", "recording", "1 segment in"),
        ("Batch", "clips", "1 of 1 clip classified"),
        ("Benchmark", "benchmark", "on 1 clip."),
    ],
)
def test_an_answer_goes_with_its_file(
    browser, serve, text_model, stock_model, angry_clip, tmp_path, tab, field, said
):
    """One that is on its way never comes, and one that is there goes."""
    files = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for file in files:
        shutil.copy(angry_clip, file)
    if tab == "Benchmark":
        files = [zipped(file, file.with_suffix(".zip")) for file in files]
    name = field.removesuffix("-clip")
    page.open_tab(browser, serve(model=str(text_model), compare_models=(str(stock_model),)), tab)
    hint = page.wait_for(browser, f"#{name}-status", "upload")
    page.upload(browser, files[0], field=field)
    page.click(browser, f"#{name}-ask")
    page.wait_for(browser, f"#{name}-status progress")
    clear(browser, field)
    page.wait_for(browser, f"#{name}-status", hint)
    page.upload(browser, files[1], field=field)
    page.click(browser, f"#{name}-ask")
    page.wait_for(browser, f"#{name}-status", said)
    answer = browser.find_element(By.ID, f"{name}-answer")
    assert "Download" in answer.text and "first" not in answer.text
    clear(browser, field)
    page.wait_for(browser, f"#{name}-status", hint)
    assert not answer.text


SLOW_COPIES = """const fetched = window.fetch;
    window.fetch = async (address, ...rest) => {
        if (String(address).includes("/file=")) await new Promise((on) => setTimeout(on, 1500));
        return fetched(address, ...rest);
    };"""


def test_what_is_cancelled_before_it_is_sent_is_not_sent(browser, url, angry_clip):
    """The page copies the file first, which takes long for a large one."""
    page.open_tab(browser, url, "Recording")
    hint = page.wait_for(browser, "#recording-status", "upload")
    browser.execute_script(SLOW_COPIES)
    page.upload(browser, angry_clip, field="recording")
    page.click(browser, "#recording-ask")
    clear(browser, "recording")
    time.sleep(3)
    assert page.wait_for(browser, "#recording-status") == hint
    page.upload(browser, angry_clip, field="recording")
    page.click(browser, "#recording-ask")
    page.wait_for(browser, "#recording-status", "1 segment in")


@pytest.mark.parametrize(
    ("tab", "field", "before", "after"),
    [
        ("Batch", "clips", "request. 0 of 1 clip.", "1 of 1 clip classified"),
        ("Benchmark", "benchmark", "request. 0 clips.", "on 1 clip."),
    ],
)
def test_it_says_that_it_waits(
    browser, url, used_model, angry_clip, tmp_path, tab, field, before, after
):
    page.open_tab(browser, url, tab)
    page.upload(browser, zipped(angry_clip, tmp_path / "one.zip"), field=field)
    page.click(browser, f"#{field}-ask")
    page.wait_for(browser, f"#{field}-status", f"waiting for another {before}")
    used_model.__exit__()
    page.wait_for(browser, f"#{field}-status", after)


@pytest.mark.usefixtures("slow")
def test_an_answer_to_an_older_text_is_dropped(browser, url, angry_clip):
    page.classify(browser, url, angry_clip)
    text = browser.find_element(By.CSS_SELECTOR, "#transcript textarea")
    text.send_keys("no leave")
    page.click(browser, "#again")
    page.wait_for(browser, "#status progress")
    text.send_keys(" me")
    page.wait_for(browser, "#status", "text has changed")
    time.sleep(2 * SLOW_SECONDS)
    page.wait_for(browser, "#status", "text has changed")
    page.click(browser, "#again")
    page.wait_for(browser, "#status", "audio and your text")
    assert text.get_attribute("value") == "no leave me"


def test_cancel_says_nothing_where_nothing_runs(browser, url):
    page.open_tab(browser, url, "Batch")
    before = page.wait_for(browser, "#clips-status", "upload several clips")
    page.click(browser, "#clips-stop")
    time.sleep(1)
    assert page.wait_for(browser, "#clips-status") == before
