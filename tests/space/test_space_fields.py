"""The fields for files in real Chromium: formats, sizes of buttons, and what a clear leaves."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")


from tests.helpers.space_page import clear, needs_browser, page
from tests.helpers.space_server import loaded

pytestmark = needs_browser

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")

SMALL = """return [...document.querySelectorAll("button, summary, .answer a, a.download-link")]
    .filter((one) => one.tabIndex >= 0 && one.offsetParent)
    .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 24)
    .map((one) => `${one.offsetWidth} x ${one.offsetHeight}: ${one.outerHTML.slice(0, 200)}`)"""

DROP = """const [target, source] = arguments, dataTransfer = new DataTransfer();
    for (const file of source.files) dataTransfer.items.add(file);
    window.types = [...source.files].map((file) => file.type);
    const place = document.querySelector(target);
    place.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer}));"""


@pytest.fixture(scope="module")
def url(serve, text_model, stock_model) -> str:
    return loaded(serve(model=str(text_model), compare_models=(str(stock_model),)))


def converted(clip: Path, name: str, folder: Path) -> Path:
    """The clip in the format of a name, written by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), str(folder / name)]
    subprocess.run(command, check=True)
    return folder / name


@needs_ffmpeg
@pytest.mark.parametrize("name", ["clip.webm", "clip.mp4", "Clip.M4A", "clip.mkv"])
def test_what_a_browser_takes_for_a_video_is_a_clip(browser, url, angry_clip, tmp_path, name):
    line = page.classify(browser, url, converted(angry_clip, name, tmp_path))
    assert "2.4 s of audio" in line


@needs_ffmpeg
def test_webm_in_the_tab_that_compares(browser, url, angry_clip, tmp_path):
    page.open_tab(browser, url, "Compare")
    page.upload(browser, converted(angry_clip, "clip.webm", tmp_path), field="compare-clip")
    page.click(browser, "#compare-ask")
    page.wait_for(browser, "#compare-status", "agree")


@needs_ffmpeg
def test_webm_that_is_dropped(browser, url, angry_clip, tmp_path):
    browser.get(url)
    page.wait_for(browser, "#clip [aria-dropeffect]")
    source = browser.execute_script("""const made = document.createElement("input");
        made.type = "file"; document.body.append(made); return made;""")
    source.send_keys(str(converted(angry_clip, "clip.webm", tmp_path)))
    browser.execute_script(DROP, "#clip [aria-dropeffect]", source)
    assert browser.execute_script("return window.types") == ["video/webm"]
    assert "2.4 s of audio" in page.wait_for(browser, "#status", "classified from")


def test_another_file_is_still_refused(browser, url, tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    browser.get(url)
    page.wait_for(browser, "#status")
    field = "#clip input[type=file]"
    page.patiently(browser).until(
        lambda driver: (
            driver.find_element("css selector", field).send_keys(str(tmp_path / "notes.txt"))
            or True
        )
    )
    page.wait_for(browser, "body", "only audio")


def test_buttons_are_large_enough(browser, url, angry_clip):
    for tab, field in (("Clip", "clip"), ("Recording", "recording"), ("Batch", "clips")):
        page.open_tab(browser, url, tab)
        assert browser.execute_script(SMALL) == [], tab
        page.upload(browser, angry_clip, field=field)
        if tab != "Clip":
            page.click(browser, f"#{field}-ask")
        page.wait_for(browser, {"Clip": "#more a"}.get(tab, f"#{field}-answer a"))
        assert browser.execute_script(SMALL) == [], tab


def test_a_clip_that_is_cleared_while_it_is_asked_about_leaves_no_error(
    browser, url, angry_clip, used_model
):
    browser.get(url)
    page.upload(browser, angry_clip)
    page.wait_for(browser, "#status", "waiting for another request")
    clear(browser, "clip")
    page.wait_for(browser, "#status", "record or upload")
    error = "//div[@data-testid='status-tracker'][contains(., 'Error')]"
    page.patiently(browser).until(
        lambda driver: driver.find_elements("xpath", error), "Gradio notes no error any more"
    )
    for one in browser.find_elements("xpath", error):
        assert one.value_of_css_property("display") == "none"
