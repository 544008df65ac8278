"""The demo: emotions of speech in a browser or over the API (`python space/app.py`)."""

import os
import sys
from tempfile import mkdtemp
from typing import Any

# Gradio reads these when it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# A folder for uploads that no other Gradio app uses.
os.environ["GRADIO_TEMP_DIR"] = os.environ.get("GRADIO_TEMP_DIR") or mkdtemp(prefix="ser-uploads-")

import gradio as gr
import page
from about import INTRO, about_tab
from benchmark_tab import benchmark_tab
from classifier import Classifier
from compare import OtherModels, compare_tab
from gpu import is_zero
from interface import Page, QuickCancel, ResultSchemas
from live import Listeners, live_tab
from long_recording import long_recording_tab
from many_clips import many_clips_tab
from one_call import OneCall
from one_clip import one_clip_tab
from settings import HERE, Settings
from starlette.middleware import Middleware
from starlette.responses import FileResponse
from starlette.routing import Route
from uploads import BodyLimit, SeparateUploads, start_sweeping

PICTURE = "/picture.png"
"""What links to the page show."""


def build_demo(settings: Settings | None = None) -> gr.Blocks:
    """Build the page.

    Args:
        settings: from the environment if not given.

    Returns:
        The page with its queue; `launch(**launch_options(settings, demo.classifier))` serves it.
        The model is loaded at its first use, or by `demo.classifier.load()`. If it cannot be
        loaded, the page shows the error.
    """
    settings = settings or Settings.from_environment()
    classifier = Classifier(settings)
    others = OtherModels(settings)
    with Page(title=page.TITLE, analytics_enabled=False) as demo:
        # Pictures of links need a whole address, which only a Hub Space knows.
        host = os.environ.get("SPACE_HOST")
        demo.description, demo.classifier = page.DESCRIPTION, classifier
        demo.picture = (f"https://{host}" if host else "") + PICTURE
        gr.Markdown(INTRO)
        with gr.Tab("Clip"):
            one_clip_tab(classifier)
        with gr.Tab("Recording"):
            long_recording_tab(classifier)
        if not is_zero():  # which lends its GPU to requests of Gradio only
            with gr.Tab("Live"):
                live_tab(classifier)
        with gr.Tab("Batch"):
            many_clips_tab(classifier)
        if others.names or settings.compare_any:
            with gr.Tab("Compare"):
                compare_tab(classifier, others)
        with gr.Tab("Benchmark"):
            benchmark_tab(classifier)
        with gr.Tab("About"):
            about_tab(classifier, others)
        demo.update_late()
    start_sweeping()
    # Without `api_open`, every request goes through the queue and its limits.
    return demo.queue(max_size=settings.queue_size, api_open=False)


def launch_options(settings: Settings, classifier: Classifier) -> dict[str, Any]:
    """Return options of `launch`: theme, limits and addresses beside the page.

    Nothing is shared, kept or fetched.
    """
    limits = {
        "upload_bytes": int(settings.max_upload_megabytes * 1e6),
        # A clip may also be sent as base64 in a request, which makes it a third longer.
        "other_bytes": int(settings.max_megabytes * 2e6),
    }
    return {
        "theme": page.theme(),
        "css": page.CSS,
        "head": page.HEAD,
        "share": False,
        "ssr_mode": False,
        # Gradio would ask its own page for an answer within 3 s, and give up on a busy machine.
        "_frontend": False,
        "mcp_server": True,
        "run_history": False,
        "footer_links": ["api", "settings"],
        "max_file_size": int(settings.max_upload_megabytes * 1e6),
        "app_kwargs": {
            "middleware": [
                Middleware(BodyLimit, **limits),
                Middleware(SeparateUploads),
                Middleware(ResultSchemas),
                Middleware(QuickCancel),
            ],
            "routes": [
                Route(PICTURE, lambda _: FileResponse(HERE / PICTURE[1:])),
                *Listeners(classifier).routes(),
                *OneCall(classifier).routes(),
            ],
        },
    }


def main() -> int:
    """Serve the page until it is interrupted; return the exit code."""
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    demo = build_demo(settings)
    if is_zero():  # which takes the weights of models that are there when the page is served
        demo.classifier.load()
    demo.launch(**launch_options(settings, demo.classifier), prevent_thread_lock=True)
    if problem := demo.classifier.problem:  # the page is served meanwhile, and says it too
        print(f"error: {problem} SER_MODEL is {settings.model}", file=sys.stderr, flush=True)
    demo.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
