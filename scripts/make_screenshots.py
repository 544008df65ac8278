"""Take the README's pictures of the demo: `python scripts/make_screenshots.py`.

The page classifies the example clips in headless Chromium, with the settings of the demo (without
`SER_TRANSCRIBER` from audio only). Needs the programs chromium and chromedriver, and the package
selenium.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parent.parent
BROWSER, DRIVER = "chromium", "chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    # The page must work without other hosts.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WIDTH, HEIGHT = 1200, 1400
PATIENCE_SECONDS = 90
LISTENED_SECONDS = 30


@contextmanager
def chromium(
    *, width: int = WIDTH, height: int = HEIGHT, dark: bool = False, voice: Path | None = None
) -> Iterator[WebDriver]:
    """Open a headless Chromium with a fresh profile and a page of this size in CSS pixels.

    Args:
        width, height: of the page.
        dark: whether the browser prefers dark pages.
        voice: a WAV file that is the sound of the microphone.
    """
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(BROWSER)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if voice:
            options.add_argument("--use-fake-ui-for-media-stream")
            options.add_argument("--use-fake-device-for-media-stream")
            options.add_argument(f"--use-file-for-fake-audio-capture={voice.resolve()}")
        downloads = {
            "download.default_directory": profile,
            "profile.default_content_setting_values.automatic_downloads": 1,
        }
        options.add_experimental_option("prefs", downloads)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which(DRIVER))
        driver = webdriver.Chrome(options=options, service=service)
        driver.downloads = Path(profile)
        try:
            resize(driver, width, height)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def resize(driver: WebDriver, width: int, height: int) -> None:
    """Set the size of the page; unlike a window, an emulated screen can be as narrow as a phone."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def wait_for(driver: WebDriver, css: str, text: str = "") -> str:
    """Wait for an element whose text contains `text`; return its whole text."""

    def found(driver: WebDriver) -> str | bool:
        texts = [element.text for element in driver.find_elements(By.CSS_SELECTOR, css)]
        return next((t or " " for t in texts if text.lower() in t.lower()), False)

    message = f"the page never showed {css} with {text!r}"
    return patiently(driver).until(found, message)


def patiently(driver: WebDriver) -> WebDriverWait:
    """Return a wait that ignores elements which the page replaces meanwhile."""
    passing = [StaleElementReferenceException]
    return WebDriverWait(driver, PATIENCE_SECONDS, poll_frequency=0.1, ignored_exceptions=passing)


def click(driver: WebDriver, css: str) -> None:
    """Wait for an element and click on it."""
    wait_for(driver, css)
    driver.execute_script("document.querySelector(arguments[0]).click()", css)


def open_tab(driver: WebDriver, url: str | None, name: str) -> None:
    """Load the page, unless there is no address, and open one of its tabs."""
    if url:
        driver.get(url)
    wait_for(driver, "button[role=tab]", name)
    tabs = driver.find_elements(By.CSS_SELECTOR, "button[role=tab]")
    driver.execute_script(
        "arguments[0].click()",
        next(tab for tab in tabs if tab.get_attribute("textContent").strip() == name),
    )


def upload(driver: WebDriver, *files: Path, field: str = "clip") -> None:
    """Upload files in a field of the page."""
    paths = "\n".join(str(file.resolve()) for file in files)
    css = f"#{field} input[type=file]"
    patiently(driver).until(
        lambda driver: driver.find_element(By.CSS_SELECTOR, css).send_keys(paths) or True
    )
    wait_for(driver, f"#{field} [aria-label='Clear'], #{field} [title='Clear']")


def classify(driver: WebDriver, url: str, clip: Path) -> str:
    """Open the page, classify the clip, and return the status line of the result."""
    driver.get(url)
    upload(driver, clip)
    return wait_for(driver, "#status", "classified from")


def take(driver: WebDriver, path: Path, *, width: int = 1200) -> None:
    """Take a picture of the whole page."""
    # A page is at least as long as its window.
    resize(driver, width, 400)
    size = "return Math.ceil(document.querySelector('footer').getBoundingClientRect().bottom) + 10"
    resize(driver, width, int(driver.execute_script(f"window.scrollTo(0, 0); {size}")))
    driver.save_screenshot(str(path))
    print(path)


def take_all(url: str, clips: list[Path], recording: Path, out: Path) -> None:
    """Take the pictures: a clip, a recording, several clips, a live line, a phone, and the link."""
    with chromium() as driver:
        classify(driver, url, clips[0])
        words = driver.find_element(By.CSS_SELECTOR, "#transcript textarea")
        words.clear()
        words.send_keys("No! Leave me alone!")
        click(driver, "#again")
        wait_for(driver, "#status", "and your text")
        resize(driver, 1200, 630)
        driver.save_screenshot(str(ROOT / "space" / "picture.png"))
        driver.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
        take(driver, out / "space.png")

        open_tab(driver, url, "Recording")
        upload(driver, recording, field="recording")
        click(driver, "#recording-ask")
        wait_for(driver, "#recording-status", "segments in")
        take(driver, out / "space_timeline.png")

        open_tab(driver, url, "Batch")
        upload(driver, *clips, recording.with_name("broken.wav"), field="clips")
        click(driver, "#clips-ask")
        wait_for(driver, "#clips-status", "clips classified")
        take(driver, out / "space_batch.png")
    with chromium(voice=recording) as driver:
        open_tab(driver, url, "Live")
        click(driver, "#listen")
        time.sleep(LISTENED_SECONDS)
        wait_for(driver, "#live-answer .best")
        take(driver, out / "space_live.png")
    with chromium(width=390, height=844, dark=True) as driver:
        classify(driver, url, clips[1])
        time.sleep(2)  # it scrolls to the answer
        take(driver, out / "space_phone.png", width=390)


def main(argv: list[str] | None = None) -> int:
    """Serve the demo, take its pictures and return the exit code."""
    parser = argparse.ArgumentParser(description="Take the README's pictures of the demo.")
    parser.add_argument("--model", help="folder or Hub id (default: that of the Space)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="(%(default)s)")
    options = parser.parse_args(argv)
    for program in (BROWSER, DRIVER):
        if shutil.which(program) is None:
            print(f"error: {program} is not installed", file=sys.stderr)
            return 2

    sys.path.insert(0, str(ROOT / "space"))
    from app import build_demo, launch_options
    from settings import Settings

    clips = sorted((ROOT / "examples").glob("*.wav"))
    given = Settings.from_environment()
    settings = replace(
        given, model=options.model or given.model, transcriber=given.transcriber or "none"
    )
    demo = build_demo(settings)
    launch = launch_options(settings, demo.classifier)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch)
    try:
        with tempfile.TemporaryDirectory() as folder:
            options.out.mkdir(parents=True, exist_ok=True)
            take_all(url, clips, made_recording(clips, Path(folder)), options.out)
    finally:
        demo.close()
    return 0


def made_recording(clips: list[Path], folder: Path) -> Path:
    """Join the examples with pauses to a recording of a minute; write a broken clip beside it."""
    parts = []
    for clip in clips * 5:
        waveform, rate = sf.read(clip, dtype="float32")
        parts += [waveform, np.zeros(rate * 2, np.float32)]
    recording = folder / "recording.wav"
    sf.write(recording, np.concatenate(parts), rate)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return recording


if __name__ == "__main__":
    sys.exit(main())
