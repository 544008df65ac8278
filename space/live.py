"""The tab that listens: the page sends its sound to `/live`, and shows what comes back.

Gradio's own streaming replaces a chunk that waits by the next one, so that sound would be lost when
the server is busy, and stores every chunk as a file. Here the page sends one chunk after the other,
and nothing is stored.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import page
from classifier import Classifier
from clips import ClipError, counted
from exports import NO_SPEECH, UNSURE, as_csv
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

START = "Click on Listen and speak: the emotion of the last seconds is shown while you do."
WINDOW_S, HOP_S = 4.0, 1.0
SHOWN = 60
"""Most windows of the drawn line: a minute."""

MOST = 16
"""Visitors who may be listened to at once."""

IDLE_SECONDS = 30
"""A visitor who sends nothing for so long has gone."""

CHUNK_BYTES = 8_000_000
NAME = re.compile("[0-9a-f-]{36}")


def live_tab(classifier: Classifier) -> None:
    """Build the tab; page.js does the rest."""
    with gr.Row():
        for name, label, variant in (("listen", "Listen", "primary"), ("silence", "Stop", "stop")):
            button = gr.Button(label, variant=variant, elem_id=name)
            button.click(None, js=f"() => window.ser.{name}()", api_visibility="private")
    page.status_field(classifier, START, "live-status")
    gr.HTML(elem_id="live-answer", padding=False)


@dataclass
class Listener:
    """A visitor whose microphone is on, and the windows so far."""

    live: Any
    windows: list[dict[str, Any]] = field(default_factory=list)
    heard: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Listeners:
    """Those who are listened to, by the random name that each page has given itself."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._all: dict[str, Listener] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """The address that takes the sound."""
        return [Route("/live/{name}", self._answer, methods=["POST"])]

    async def _answer(self, request: Request) -> JSONResponse:
        """Take int16 samples, mono, at `rate`; with `last`, the recording ends."""
        body, given = await request.body(), request.query_params
        try:
            if not NAME.fullmatch(name := request.path_params["name"]) or len(body) > CHUNK_BYTES:
                raise ClipError("The request cannot be read.")
            if not given.get("rate", "").isdigit() or len(body) % 2:
                raise ClipError("The request cannot be read.")
            samples = np.frombuffer(body, dtype="<i2")
            rate, last = int(given["rate"]), "last" in given
            shown = await run_in_threadpool(self.hear, name, samples, rate=rate, last=last)
        except ClipError as error:
            return JSONResponse({"status": page.status("error", str(error)), "ended": True}, 422)
        return JSONResponse(shown)

    def hear(self, name: str, samples: np.ndarray, *, rate: int, last: bool) -> dict[str, Any]:
        """Take the next samples of a visitor.

        Args:
            name: of the visitor.
            samples: int16 (num_samples,).
            rate: in Hz.
            last: whether the recording ends.

        Returns:
            `status` and `answer` as HTML, and whether it has `ended`.

        Raises:
            ClipError: one line.
        """
        listener = self._listener(name, rate)
        full = listener.live.seconds > self._classifier.settings.max_recording_minutes * 60
        last = last or full
        with listener.lock, self._classifier.errors(Path(name)), self._classifier.lock:
            rows = listener.live.add(samples) + (listener.live.finish() if last else [])
            listener.windows += rows
        answer, said = line_html(listener.windows[-SHOWN:]), status_of(listener, last)
        if last:
            with self._lock:
                self._all.pop(name, None)
            answer += files_of(listener.windows)
        if full:
            said = f"This is the longest recording that is accepted. {said}"
        return {
            "status": page.status("ok" if last else "hint", said),
            "answer": answer,
            "ended": last,
        }

    def _listener(self, name: str, rate: int) -> Listener:
        now = time.monotonic()
        with self._lock:
            for other in [k for k, v in self._all.items() if now - v.heard > IDLE_SECONDS]:
                del self._all[other]
            if name not in self._all:
                if len(self._all) >= MOST:
                    raise ClipError(f"{MOST} visitors are being listened to: try again later.")
                if not self._classifier.supports_text:
                    _ = self._classifier.pipeline  # raises its problem
                    raise ClipError("This model is a stock checkpoint, which does not listen.")
                with self._classifier.errors(Path(name)):
                    threshold = self._classifier.settings.threshold
                    self._all[name] = Listener(
                        self._classifier.pipeline.live(
                            sampling_rate=rate,
                            window_s=WINDOW_S,
                            hop_s=HOP_S,
                            abstain_below=threshold,
                        )
                    )
            self._all[name].heard = now
            return self._all[name]


def status_of(listener: Listener, last: bool) -> str:
    """Return what the status line says."""
    seconds = listener.live.seconds
    if last:
        return f"Stopped after {seconds:.0f} s. No sound has been kept."
    if not listener.windows:
        return f"Listening. The first answer comes after {WINDOW_S:.0f} s."
    return "Listening."


def line_html(windows: list[dict[str, Any]]) -> str:
    """Return the emotion of the last window, large, and a line for each emotion of the windows."""
    if not windows:
        return ""
    now = windows[-1]
    score = "" if now["score"] is None else f" {now['score']:.0%}"
    best = f'<p class="best"><strong>{page.escaped(now["label"] or UNSURE)}</strong>{score}</p>'
    names = next((list(w["scores"]) for w in windows if w["scores"]), [])
    shapes = []
    span = max(1, len(windows) - 1)  # as much as there is, at most SHOWN windows
    start = span + 1 - len(windows)
    for name in names:
        parts: list[list[str]] = [[]]
        for place, window in enumerate(windows, start):
            if window["scores"]:
                parts[-1].append(f"{place},{100 - 100 * window['scores'][name]:.1f}")
            elif parts[-1]:
                parts.append([])
        for part in filter(None, parts):
            points = " ".join(part if len(part) > 1 else part * 2)
            shapes.append(f'<polyline points="{points}" stroke="{page.colour_of(name)}"/>')
    for place, window in enumerate(windows, start):
        label = window["label"] or ""
        colour = "transparent" if label == NO_SPEECH else page.colour_of(label)
        shapes.append(f'<rect x="{place - 0.5}" y="106" width="1" height="8" fill="{colour}"/>')
    text = f"Emotions of the last {counted(len(windows), 'window')}; now {now['label'] or UNSURE}"
    return page.answer_html(
        best
        + f'<svg class="line" role="img" aria-label="{page.escaped(text)}" '
        + f'preserveAspectRatio="none" viewBox="0 0 {span} 115">{"".join(shapes)}</svg>'
        + f'<div class="times"><span>{span * HOP_S:.0f} s ago</span>'
        + "<span>probability, 0 to 100%</span><span>now</span></div>"
        + '<div class="legend">'
        + "".join(f"<span>{page.label_html(name)}</span>" for name in (*names, UNSURE))
        + "</div>"
    )


def files_of(windows: list[dict[str, Any]]) -> str:
    """Return links that save all windows of a recording; empty if there are none."""
    if not windows:
        return ""
    names = next((list(w["scores"]) for w in windows if w["scores"]), [])
    rows = [
        {"start": w["start"], "end": w["end"], "label": w["label"] or UNSURE, "score": w["score"]}
        | {name: (w["scores"] or {}).get(name) for name in names}
        for w in windows
    ]
    files = {"live.csv": as_csv(rows), "live.json": json.dumps(rows, indent=2)}
    return page.answer_html(page.downloads(files))
