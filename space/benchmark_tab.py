"""The tab for the RAVDESS benchmark (paper, Table 9), and the endpoint `/benchmark`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import Classifier
from clips import ClipError, counted
from lock import Request, each_in_steps
from ravdess_benchmark import TEXTS, Benchmark
from ravdess_clips import HUB_ID, Clips, Limits, open_clips
from ravdess_scores import draw_confusion, markdown, verdict
from settings import Settings
from uploads import received

START = "Upload RAVDESS speech as a zip, complete or in part, or name a data set of the Hub."
FEW_CLIPS = 50
"""Fewer give figures that say little."""

CONFIGS = ["speaker_disjoint", "paper", "natural"]


def benchmark_tab(classifier: Classifier) -> None:
    """Build the tab; it shows the figures beside those of the paper, and the protocol."""
    settings = classifier.settings
    with gr.Row():
        with gr.Column(min_width=320):
            file = gr.File(
                type="filepath",
                file_types=[".zip"],
                label=f"Zip of RAVDESS, up to {settings.max_upload_megabytes:g} MB",
                elem_id="benchmark",
            )
            name = gr.Textbox(
                label="Or a data set id",
                info="A public corpus in this project's format on the Hub, such as "
                "you/speech-emotion-corpus; the RAVDESS clips of its test split are scored.",
                max_length=200,
                elem_id="benchmark-name",
            )
            with gr.Accordion("Options", open=False):
                config = gr.Dropdown(
                    CONFIGS, value=CONFIGS[0], label="Configuration of the data set"
                )
                text = gr.Dropdown(
                    [(meaning.removeprefix("text: "), key) for key, meaning in TEXTS.items()],
                    value="corpus",
                    label="Text that the model reads",
                )
            ask, stop = page.run_and_cancel_buttons("Run the benchmark", "benchmark")
        with gr.Column(min_width=320):
            line = page.status_field(classifier, START, "benchmark-status")
    report = gr.Markdown(elem_id="benchmark-report")
    answer = gr.HTML(elem_id="benchmark-answer", padding=False)

    def show(path: str | None, name: str, config: str, text: str) -> Iterator[tuple[str, str, str]]:
        """Show progress, then the figures; or one line with the error."""
        yield page.status("hint", "Reading the clips.", share=0.0), "", ""
        try:
            done, total = 0, None
            found = steps(classifier, path, name, config=config, text=text)
            for step in each_in_steps(found):
                if isinstance(step, dict):
                    break
                waits = isinstance(step, Request)
                if waits and not step.waits:
                    continue
                done, total = (done, total) if waits else step
                share = None if total is None else done / total
                of_all = counted(done if total is None else total, "clip")
                of_all = of_all if total is None else f"{done} of {of_all}"
                yield (
                    page.status("hint", f"{page.WAITING} " * waits + f"{of_all}.", share=share),
                    gr.skip(),
                    gr.skip(),
                )
        except ClipError as error:
            yield page.status("error", str(error)), "", ""
            return
        matrix = draw_confusion(step["scores"])
        picture = page.picture_html(matrix, "Confusion matrix")
        files = {
            "ravdess.json": json.dumps(step, indent=2),
            "ravdess.md": step["markdown"],
            "ravdess.png": matrix,
        }
        scores = step["scores"]
        clips = counted(scores["clips"], "clip")
        summary = f"WA {scores['wa']:.1%}, UA {scores['ua']:.1%} on {clips}. "
        summary += verdict(step).replace("**", "")
        doubtful = step["overlap"]["speakers"] or not step["overlap"]["known"]
        kind = "unsure" if doubtful or scores["clips"] < FEW_CLIPS else "ok"
        yield (
            page.status(kind, summary),
            step["markdown"],
            page.answer_html(picture + page.downloads(files)),
        )

    page.run_and_cancel(
        ask,
        stop,
        show,
        [file, name, config, text],
        [line, report, answer],
        field="benchmark",
        about=[name],
        cancelled="Cancelled. The clips have been removed from the server.",
    )
    _publish(classifier)


def _publish(classifier: Classifier) -> None:
    def benchmark(
        zip_file: str | None = None,
        data_set: str = "",
        config: str = "speaker_disjoint",
        text: str = "corpus",
        progress: gr.Progress = gr.Progress(),  # noqa: B008, as Gradio wants it
    ) -> dict[str, Any]:
        """Score the model on RAVDESS, as in Table 9 of the paper.

        Args:
            zip_file: RAVDESS speech as released, complete or in part, as a zip file.
            data_set: or the Hub id of a public corpus in this project's format; the RAVDESS clips
                of its test split are scored.
            config: configuration of the data set: speaker_disjoint, paper or natural.
            text: text that the model reads: corpus (the sentence that was spoken), none, or asr
                (of the model's transcriber).

        Returns:
            A dict with "scores" ("wa", "ua", "ua_plus_wa" as fractions, "interval" over speakers,
            "recall", "confusion"), "overlap" (speakers in the model's training record), "unseen"
            (the scores without these speakers, or null), "paper_table_9", "markdown" (the
            report), "errors", "removed", "rejected", and "answers", one for each clip.
        """
        with page.one_line_errors():
            for step in steps(classifier, zip_file, data_set, config=config, text=text):
                if not isinstance(step, dict):
                    progress(step, unit="clips")
        return step

    inputs = [
        gr.File(None, type="filepath", label="zip_file", visible=False),
        gr.Textbox("", label="data_set", visible=False),
        gr.Textbox(CONFIGS[0], label="config", visible=False),
        gr.Textbox("corpus", label="text", visible=False),
    ]
    page.publish(benchmark, inputs, api_name="benchmark", **page.LONG)


def steps(
    classifier: Classifier, path: str | None, name: str, *, config: str, text: str
) -> Iterator[tuple[int, int | None] | dict[str, Any]]:
    """Run the benchmark for a visitor.

    Yields:
        After each clip the number of classified clips and of all; at last the result.

    Raises:
        ClipError: it cannot be run; one line.
    """
    if text not in TEXTS:
        raise ClipError(f"The text must be {', '.join(TEXTS)}.")
    if config not in CONFIGS:
        raise ClipError(f"The configuration must be {', '.join(CONFIGS)}.")
    with _opened(path, (name or "").strip(), config, classifier.settings) as clips:
        for done, step in enumerate(Benchmark(classifier).run(clips, text=text), start=1):
            if not isinstance(step, dict):
                yield done, clips.total
    yield step | {"markdown": markdown(step)}


@contextmanager
def _opened(path: str | None, name: str, config: str, settings: Settings) -> Iterator[Clips]:
    if bool(path) == bool(name):
        raise ClipError("Upload a zip of RAVDESS, or name a data set: one of the two.")
    limits = Limits(
        max_files=settings.benchmark_clips, max_megabytes=settings.max_unpacked_megabytes
    )
    # A visitor sees neither folders of the server nor private data sets of its owner.
    if name and (not HUB_ID.fullmatch(name) or Path(name).exists()):
        raise ClipError("This is no data set id: one looks like user/name.")
    with (
        received(path) as files,
        open_clips(name or files[0], config=config, limits=limits, token=False) as clips,
    ):
        yield clips
