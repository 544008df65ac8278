"""What the tabs share: theme, pieces of HTML, functions of the page and of the API.

Results are HTML that contains its pictures and downloads, so that no file stays on the server.
"""

import base64
import html
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from archives import AUDIO_SUFFIXES
from classifier import Classifier
from clips import ClipError
from lock import Request
from PIL import Image
from settings import HERE

TITLE = "Speech emotion classifier"
DESCRIPTION = "How does a voice sound? Three seconds of one speaker are enough."
CSS = (HERE / "page.css").read_text(encoding="utf-8")
HEAD = f'<meta name="description" content="{DESCRIPTION}">'
HEAD += f"<script>window.serSuffixes = {list(AUDIO_SUFFIXES)};</script>"
HEAD += f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>"

COLOURS = {
    "angry": "#dc2626",
    "calm": "#0d9488",
    "disgust": "#65a30d",
    "fearful": "#9333ea",
    "happy": "#f59e0b",
    "sad": "#2563eb",
    "surprised": "#ec4899",
    "neutral": "#64748b",
}
WIDE = ("to", "next")
"""Columns that phones do not show; their cells have the class `wide`."""

OTHER_COLOUR = "#9ca3af"

WAITING = "Waiting for another request."

QUIETLY = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of events that are the page's own."""

# Functions of one group share its slots of the queue. The classifier's own lock decides which of
# them runs.
CLIPS = {"concurrency_id": "clips", "concurrency_limit": 2}
LONG = {"concurrency_id": "long", "concurrency_limit": 2}


def theme() -> gr.themes.Base:
    """Return the theme: no fonts from other hosts, and labels with enough contrast."""
    fonts = ["system-ui", "sans-serif"]
    return gr.themes.Soft(
        primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(
        background_fill_primary="*neutral_50",  # as in Soft; `set` resets it
        # Labels and hints of Soft have too little contrast.
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        **{
            f"link_text_color{state}{theme}": f"*primary_{shade}"
            for state in ("", "_active", "_hover", "_visited")
            for theme, shade in (("", 700), ("_dark", 300))
        },
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


def status(kind: str, line: str, *, share: float | None = None, busy: bool = False) -> str:
    """Return the status line as HTML.

    Args:
        kind: ok, hint, unsure or error.
        line: as text.
        share: how much is done, 0 to 1, for a progress bar.
        busy: whether something runs of which no share is known.
    """
    role = "alert" if kind == "error" else "status"
    bar = '<progress aria-label="Working"></progress>' if busy else ""
    if share is not None:
        bar = f'<progress aria-label="Progress" max="1" value="{share:.3f}"></progress>'
    return f'<p class="{kind}" role="{role}">{html.escape(line)}{bar}</p>'


def working(request: Request, said: str, more: str = "") -> str:
    """Return the status line of a request that runs, or that waits for another one.

    Args:
        request: of `in_steps`.
        said: what it does, as text.
        more: what is said in any case, as text.
    """
    return status("hint", f"{WAITING if request.waits else said} {more}".strip(), busy=True)


def status_field(classifier: Classifier, hint: str, name: str) -> gr.HTML:
    """Return the status line of a tab: a hint; or, when it is known, why there is no model.

    Args:
        classifier: of the Space.
        hint: what to do first.
        name: id of the element.
    """
    line = gr.HTML(status("hint", hint), elem_id=name, elem_classes="status", padding=False)

    def problem() -> Any:
        return status("error", classifier.problem) if classifier.problem else gr.skip()

    when_loaded(line, problem)
    return line


def when_loaded(component: gr.components.Component, update: Callable[[], Any]) -> None:
    """Have a component of the page updated when the model is there: it is loaded meanwhile."""
    gr.context.Context.root_block.late.append((component, update))


def colour_of(label: str) -> str:
    """Return the colour of an emotion, or that of all other labels."""
    return COLOURS.get(label, OTHER_COLOUR)


def label_html(label: str, score: float | None = None) -> str:
    """Return an emotion with its colour, and its probability if it has one."""
    dot = f'<span class="dot" aria-hidden="true" style="background:{colour_of(label)}"></span>'
    return f"{dot}{html.escape(label)}" + ("" if score is None else f" {score:.0%}")


def bar(share: float, label: str) -> str:
    """Return a probability, 0 to 1, as a bar in the colour of its emotion, and in per cent."""
    fill = f'<i style="width:{share:.1%};background:{colour_of(label)}"></i>'
    return f'<span class="bar" aria-hidden="true">{fill}</span><b>{share:.0%}</b>'


def folded(summary: str, inside: str) -> str:
    """Return HTML that is shown after a click on its summary, a text."""
    return f"<details><summary>{html.escape(summary)}</summary>{inside}</details>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """Return a scrolling table.

    Args:
        heads: column names, as text.
        rows: cells as HTML; the first of a row is its name.
        caption: as text.
    """
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    return table_html(heads, body, caption=caption)


def table_html(heads: Sequence[str], body: str, *, caption: str) -> str:
    """Return a scrolling table whose body is HTML already."""
    name = html.escape(caption)
    # A phone has no room for every column.
    wide = dict.fromkeys(WIDE, ' class="wide"')
    head = "".join(
        f'<th scope="col"{wide.get(text, "")}>{html.escape(text)}</th>' for text in heads
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<caption>{name}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def downloads(files: dict[str, str | np.ndarray]) -> str:
    """Return links that save texts and pictures, by file name; they contain the file."""
    kinds = {
        ".csv": "text/csv",
        ".json": "application/json",
        ".md": "text/markdown",
        ".srt": "application/x-subrip",
        ".TextGrid": "text/plain",
    }
    links = []
    for name, content in files.items():
        if isinstance(content, str):
            data = base64.b64encode(content.encode()).decode()
            address = f"data:{kinds[Path(name).suffix]};charset=utf-8;base64,{data}"
        else:
            address = _png(content)
        links.append(f'<a download="{name}" href="{address}">{name}</a>')
    return f'<p class="downloads">Download {"".join(links)}</p>'


def picture_html(picture: np.ndarray, alt: str) -> str:
    """Return a picture, uint8 (height, width, 4), as HTML."""
    return f'<img alt="{html.escape(alt)}" src="{_png(picture)}">'


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def answer_html(inside: str, kind: str = "") -> str:
    """Wrap HTML in an element of the style sheet."""
    return f'<div class="answer {kind}">{inside}</div>'


def escaped(value: Any) -> str:
    """Return a value as text that is safe inside HTML; empty for None."""
    return "" if value is None else html.escape(str(value))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn ClipError into the error of the API, without a traceback in the log."""
    try:
        yield
    except ClipError as error:
        raise gr.Error(str(error), print_exception=False) from error


def publish(
    function: Callable[..., Any], inputs: list[Any], *, api_name: str, **group: Any
) -> None:
    """Add a function to the API and to the MCP tools; it returns one JSON object.

    Args:
        function: typed and documented; callers of the API read its docstring.
        inputs: a component for each parameter, not shown on the page.
        api_name: name of the endpoint.
        group: CLIPS, LONG or other options of the queue.
    """
    result = gr.JSON(label="answer", visible=False)
    gr.Button(visible=False).click(function, inputs, result, api_name=api_name, **group)


def sends(field: str) -> str:
    """Return the JavaScript that runs before a request of the page; its first input is a file."""
    return f"(...inputs) => window.ser.send('{field}', ...inputs)"


def forget_answers(
    field: gr.components.Component,
    requests: list[Any],
    outputs: list[Any],
    reset: Callable[[], Any],
    *,
    about: str,
    ask: str | None = None,
) -> None:
    """Cancel what was asked about an input, and remove its answer, when the input changes.

    Otherwise the answer to the old input would appear beside the new one.

    Args:
        field: the input.
        requests: events that ask about it.
        outputs: components that show the answer: the status line, the answer, others.
        reset: returns the values of the outputs without an answer.
        about: id of the field for the file, which names the requests.
        ask: id of a button to click when there is a new input.
    """
    changed = after_cancelling(field.change, requests, reset, outputs, about=about)
    if ask:
        script = f"(file) => window.ser.ask(file, '{ask}', '{field.elem_id}')"
        changed.then(None, field, None, js=script, **QUIETLY)
    names = ", ".join(f"'{one.elem_id}'" for one in (field, *outputs[:2]))
    outputs[1].change(None, None, None, js=f"() => window.ser.reveal({names})", **QUIETLY)


def after_cancelling(
    event: Callable[..., Any],
    requests: list[Any],
    update: Callable[..., Any],
    outputs: list[Any],
    inputs: list[Any] | None = None,
    *,
    about: str,
) -> Any:
    """Cancel requests at an event and then update the page; return the update's event.

    These are two steps, as Gradio runs a function before it cancels. The page still shows what a
    cancelled request has sent: the queue delivers in order, so an update that goes through it
    comes after that. Where the queue is full the update is sent directly.

    Args:
        event: of a component, `change` for instance.
        requests: events that are cancelled.
        update: returns the values of the outputs.
        outputs, inputs: components of the update.
        about: id of the field that the requests are about.
    """
    script = f"() => window.ser.cancelled('{about}')"
    cancelled = event(None, cancels=requests, js=script, queue=False, **QUIETLY)
    queued = cancelled.then(update, inputs, outputs, concurrency_limit=None, **QUIETLY)
    queued.failure(update, inputs, outputs, queue=False, **QUIETLY)
    return queued


def run_and_cancel_buttons(label: str, name: str) -> tuple[gr.Button, gr.Button]:
    """Return the buttons that start and cancel a long request.

    Args:
        label: of the first.
        name: prefix of their ids.
    """
    with gr.Row():
        start = gr.Button(label, variant="primary", elem_id=f"{name}-ask")
        return start, gr.Button("Cancel", variant="stop", elem_id=f"{name}-stop")


def run_and_cancel(
    ask: gr.Button,
    stop: gr.Button,
    show: Callable[..., Iterator[Any]],
    inputs: list[Any],
    outputs: list[Any],
    *,
    field: str,
    about: list[Any] | None = None,
    cancelled: str,
) -> Any:
    """Connect a long request of the page with the buttons that start and cancel it.

    An answer is removed when the file changes; what it says of its options stays true.

    Args:
        ask, stop: the buttons.
        show: yields the values of the outputs, repeatedly.
        inputs: components; the first is the file.
        outputs: components; the first is the status line.
        field: id of the file's component.
        about: other inputs that name what is asked about, as the file does.
        cancelled: status line after a cancellation.

    Returns:
        The event of the request, to add events that follow it.
    """
    hint = outputs[0].value
    asked = ask.click(show, inputs, outputs, js=sends(field), **QUIETLY, **LONG)
    reset = (hint, *[""] * (len(outputs) - 1))
    for given in (inputs[0], *(about or [])):
        forget_answers(given, [asked], outputs, lambda: reset, about=field)
    after_cancelling(
        stop.click,
        [asked],
        # Nothing is said where nothing ran.
        lambda now: status("hint", cancelled) if "<progress" in now else now,
        outputs[:1],
        outputs[:1],
        about=field,
    )
    return asked
