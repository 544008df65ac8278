"""What tests do with the Space's page in a real browser, beside `scripts/make_screenshots.py`."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts import make_screenshots as page

needs_browser = pytest.mark.skipif(
    not (shutil.which(page.BROWSER) and shutil.which(page.DRIVER)),
    reason="chromium and chromedriver are not installed",
)


def chart(driver) -> dict[str, int]:
    """Read the probabilities, in per cent, off the page."""
    script = """return [...document.querySelectorAll("#answer .bars li")].map(
        (row) => [row.querySelector("span").innerText, row.querySelector("b").innerText])"""
    return {name: int(share.rstrip("%")) for name, share in driver.execute_script(script)}


def clear(driver, field: str) -> None:
    """Remove the file of a field."""
    page.click(driver, f"#{field} button[aria-label='Clear']")


@contextmanager
def on_a_phone(driver) -> Iterator[None]:
    """Show pages on a narrow screen; afterwards as before."""
    page.resize(driver, 390, 844)
    try:
        yield
    finally:
        page.resize(driver, page.WIDTH, page.HEIGHT)


def serious(driver) -> list[Any]:
    """What axe finds to be serious or critical, in both themes; nothing where it is missing.

    Gradio's button that adds files to several ones has its input inside; it is left out.
    """
    axe = importlib.util.find_spec("axe_core_python")
    if axe is None:
        return []
    if not driver.execute_script("return Boolean(window.axe)"):
        driver.execute_script(Path(axe.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    script = """const done = arguments[0], found = [], classes = document.body.classList;
        const dark = classes.contains("dark");
        document.querySelectorAll("details").forEach((one) => { one.open = true; });
        document.head.insertAdjacentHTML("beforeend",
            "<style>* { transition: none !important; }</style>"); // colours would fade
        (async () => {
            for (const theme of [dark, !dark]) {
                classes.toggle("dark", theme);
                await new Promise((drawn) => setTimeout(drawn, 300));
                const { violations } = await axe.run(
                    {exclude: [".icon-button[title='common.upload']"]},
                    {resultTypes: ["violations"]});
                for (const one of violations) {
                    if (!["serious", "critical"].includes(one.impact)) continue;
                    const nodes = one.nodes.map((node) => [node.html, node.failureSummary]);
                    found.push([theme ? "dark" : "light", one.id, nodes]);
                }
            }
            classes.toggle("dark", dark);
            done(found);
        })();"""
    return driver.execute_async_script(script)
