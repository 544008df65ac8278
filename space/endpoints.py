"""What the tabs share when they register functions: lanes, error lines, the page's own calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from clips import ClipError
from looks import status

# Requests of one lane share its slots; the model itself is asked by one at a time, in the order
# in which they come, so a long recording and a clip take turns.
CLIPS = {"concurrency_id": "clips", "concurrency_limit": 2}
LONG = {"concurrency_id": "long", "concurrency_limit": 2}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Tell a caller of the API what is wrong with the request, and the log nothing of it."""
    try:
        yield
    except ClipError as error:
        raise gr.Error(str(error), print_exception=False) from error


def publish(function: Callable[..., Any], inputs: list[Any], *, api_name: str, **lane: Any) -> None:
    """Offer a function over the API and as an MCP tool; it answers with one JSON object.

    Args:
        function: typed and documented: its docstring is what a caller reads.
        inputs: components that need not be on the page, one for each parameter.
    """
    result = gr.JSON(label="answer", visible=False)
    gr.Button(visible=False).click(function, inputs, result, api_name=api_name, **lane)


def sends(field: str) -> str:
    """Return the JavaScript that goes before a request of the page whose first input is a file."""
    return f"(...inputs) => window.ser.send('{field}', ...inputs)"


def ask_and_cancel(
    ask: gr.Button,
    stop: gr.Button,
    show: Callable[..., Iterator[Any]],
    inputs: list[Any],
    outputs: list[Any],
    *,
    field: str,
    cancelled: str,
) -> Any:
    """Wire a long request of the page and the button that cancels it.

    Args:
        ask, stop: the two buttons.
        show: yields what goes to the outputs, again and again.
        inputs: components; the first is the file.
        outputs: components; the first is the status line.
        field: the id of the file's component on the page.
        cancelled: what the status line says after a cancellation.

    Returns:
        The event of asking, for what is to follow it.
    """
    quietly = {"show_progress": "hidden", "api_visibility": "private"}
    asked = ask.click(show, inputs, outputs, js=sends(field), **quietly, **LONG)
    # Said only afterwards, or the last word of what is cancelled could come on top.
    stop.click(None, cancels=[asked], queue=False, api_visibility="private").then(
        lambda: status("hint", cancelled), None, outputs[0], queue=False, **quietly
    )
    return asked
