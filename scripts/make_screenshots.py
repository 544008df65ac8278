"""Take the README's pictures of the demo: `python scripts/make_screenshots.py`.

The page answers a real clip in headless Chromium. Needs the programs chromium and chromedriver
and the package selenium.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
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
    # The page has to work without the rest of the world.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_SECONDS = 60


@contextmanager
def chromium(*, width: int = 1200, height: int = 1400, dark: bool = False) -> Iterator[WebDriver]:
    """Open a headless Chromium with a fresh profile and a page of this size in CSS pixels."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(BROWSER)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which(DRIVER))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            # A window cannot be as narrow as a phone, an emulated screen can.
            screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def wait_for(driver: WebDriver, css: str, text: str = "") -> str:
    """Wait until an element is there and its text holds `text`; return the element's text."""

    def found(driver: WebDriver) -> str | bool:
        texts = [element.text for element in driver.find_elements(By.CSS_SELECTOR, css)]
        return next((t or " " for t in texts if text.lower() in t.lower()), False)

    message = f"the page never showed {css} with {text!r}"
    return WebDriverWait(driver, PATIENCE_SECONDS).until(found, message)


def click(driver: WebDriver, css: str) -> None:
    """Click on the one element that matches."""
    driver.find_element(By.CSS_SELECTOR, css).click()


def upload(driver: WebDriver, clip: Path) -> None:
    """Put a file into the page's clip field and wait until the page has it."""
    wait_for(driver, "#clip")
    driver.find_element(By.CSS_SELECTOR, "#clip input[type=file]").send_keys(str(clip.resolve()))
    wait_for(driver, "#clip [aria-label='Clear'], #clip [title='Clear']")


def ask_about(driver: WebDriver, url: str, clip: Path) -> str:
    """Open the page, upload the clip, ask, and return the status line of the answer."""
    driver.get(url)
    upload(driver, clip)
    click(driver, "#ask")
    return wait_for(driver, "#status", "answered from")


def main(argv: list[str] | None = None) -> int:
    """Serve the demo, take its picture and return the exit code."""
    parser = argparse.ArgumentParser(description="Take the README's picture of the demo.")
    parser.add_argument("--model", help="folder or Hub id; the demo's own default if not given")
    parser.add_argument("--clip", type=Path, default=ROOT / "examples" / "angry.wav")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "space.png")
    options = parser.parse_args(argv)
    for program in (BROWSER, DRIVER):
        if shutil.which(program) is None:
            print(f"error: {program} is not installed", file=sys.stderr)
            return 2

    sys.path.insert(0, str(ROOT / "space"))
    from app import build_demo, launch_options
    from recogniser import Settings, default_model

    settings = Settings(model=options.model or default_model())
    demo = build_demo(settings)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(settings))
    try:
        with chromium() as driver:
            print(ask_about(driver, url, options.clip))
            wait_for(driver, "#picture img")
            options.out.parent.mkdir(parents=True, exist_ok=True)
            driver.save_screenshot(str(options.out))
    finally:
        demo.close()
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
