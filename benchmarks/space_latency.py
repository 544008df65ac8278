"""Seconds from the choice of a clip to each answer on the page of the demo, in Chromium.

    python benchmarks/space_latency.py --transcriber whisper-tiny.en

The clips are those in `examples/`, each chosen on a freshly loaded page. Without a transcriber
there is one answer; with one, that of the voice alone comes first, and the result with the words
later.
Needs the programs chromium and chromedriver, and the package selenium.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from benchmarks.server_load import started  # noqa: E402
from benchmarks.space_load import DEMO  # noqa: E402
from scripts.make_screenshots import chromium, open_tab, patiently, upload  # noqa: E402

WATCH = """window.seen = {chosen: performance.now()};
    new MutationObserver(() => {
        const status = document.querySelector("#status").innerText.toLowerCase();
        if (!document.querySelector("#answer .best")) return;
        seen.first ??= performance.now();
        if (status.includes("classified from")) seen.result ??= performance.now();
    }).observe(document.body, {childList: true, subtree: true, characterData: true});"""


def seconds_of(driver: Any, url: str, clip: Path) -> dict[str, float]:
    """Choose a clip; return the seconds to the first answer and to the result."""
    open_tab(driver, url, "Clip")
    driver.execute_script(WATCH)
    upload(driver, clip)
    seen = patiently(driver).until(
        lambda driver: driver.execute_script("return seen.result ? seen : null")
    )
    return {name: (seen[name] - seen["chosen"]) / 1000 for name in ("first", "result")}


def main() -> int:
    """Measure without and with a transcriber, and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, model="model folder or Hub id")
    parser.add_argument("--transcriber", required=True, help="id or folder")
    parser.add_argument("--rounds", type=int, default=4, help="of all clips (%(default)s)")
    parser.add_argument("--cores", type=int, default=2, help="cores of the server (%(default)s)")
    arguments = parser.parse_args()
    clips = sorted((ROOT / "examples").glob("*.wav"))
    given, rows = arguments.transcriber, []
    for transcriber in ("none", given):
        arguments.transcriber = transcriber
        with (
            tempfile.TemporaryDirectory(prefix="latency-") as folder,
            started(DEMO, arguments, Path(folder)) as (_, url),
            chromium() as driver,
        ):
            seconds_of(driver, url, clips[0])  # the model is loaded, and so is the page
            found = [seconds_of(driver, url, clip) for clip in clips * arguments.rounds]
        row: dict[str, Any] = {"transcriber": Path(transcriber).name}
        for name in ("first", "result"):
            one = [seconds[name] for seconds in found]
            row[name] = {"median": round(statistics.median(one), 2), "worst": round(max(one), 2)}
        rows.append(row)
    figures = {
        "what": "seconds from the choice of a clip to each answer on the page",
        "model": Path(arguments.model).name,
        "clips": len(clips),
        "rounds": arguments.rounds,
        "rows": rows,
    }
    machine = {"cores_of_the_server": arguments.cores}
    write_figures(arguments.json, figures, machine=machine, packages=DEMO.packages)
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
