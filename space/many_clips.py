"""The tab for many clips, and the endpoint `/batch`."""

import base64
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import page
import soundfile as sf
from archives import AUDIO_SUFFIXES, unpack
from classifier import Classifier
from clips import ClipError, counted, read_clip
from exports import UNSURE, as_csv
from lock import Request, each_in_steps
from settings import Settings
from uploads import clip_files, received

START = "Upload several clips, or a zip of them. Each has a row with its result or its error."
HEARD_SECONDS = 600
"""Most audio that the page holds, so that a click on a row plays its clip."""

HEARD_RATE = 16_000


def many_clips_tab(classifier: Classifier) -> None:
    """Build the tab for several clips."""
    with gr.Row():
        with gr.Column(min_width=320):
            files = gr.File(
                file_count="multiple",
                type="filepath",
                file_types=[*AUDIO_SUFFIXES, ".zip"],
                label=f"Clips or zip files, up to {counted(classifier.settings.max_clips, 'clip')}",
                elem_id="clips",
            )
        with gr.Column(min_width=320):
            ask, stop = page.run_and_cancel_buttons("Classify all", "clips")
            line = page.status_field(classifier, START, "clips-status")
    answer = gr.HTML(elem_id="clips-answer", padding=False)

    def show(paths: list[str] | None) -> Iterator[tuple[str, str]]:
        """Show progress and the rows so far, or one line with the error."""
        yield page.status("hint", "Reading the files.", share=0.0), ""
        rows: list[dict[str, Any]] = []
        sounds: list[str] = []
        names = classifier.labels
        try:
            with received(paths) as found, tempfile.TemporaryDirectory(prefix="ser-") as folder:
                clips = clips_of(found, Path(folder), classifier.settings)
                for step in each_in_steps(results(classifier, clips)):
                    said = ""
                    if not isinstance(step, Request):
                        rows.append(step)
                    elif step.waits:
                        said = f"{page.WAITING} "
                    else:
                        continue
                    done = f"{said}{len(rows)} of {counted(len(clips), 'clip')}."
                    yield (
                        page.status("hint", done, share=len(rows) / len(clips)),
                        rows_html(rows, [""] * len(rows), names) if rows else "",
                    )
                sounds = sounds_of(classifier, rows, [path for _, path in clips])
        except ClipError as error:
            yield page.status("error", str(error)), ""
            return
        bad = sum(row["error"] is not None for row in rows)
        summary = f"{len(rows) - bad} of {counted(len(rows), 'clip')} classified."
        if bad:
            first = (
                "they come first, with their errors"
                if bad > 1
                else "it comes first, with its error"
            )
            summary += f" {bad} could not be used; {first}."
        files = {"emotions.csv": as_csv(rows), "emotions.json": json.dumps(rows, indent=2)}
        table = rows_html(rows, sounds, names) + page.downloads(files)
        yield page.status("unsure" if bad else "ok", summary), table

    page.run_and_cancel(
        ask,
        stop,
        show,
        [files],
        [line, answer],
        field="clips",
        cancelled="Cancelled. The clips have been removed from the server.",
    )
    _publish(classifier)


def _publish(classifier: Classifier) -> None:
    def batch(
        files: list[str],
        progress: gr.Progress = gr.Progress(),  # noqa: B008, as Gradio wants it
    ) -> dict[str, Any]:
        """Classify the emotion of several short clips of speech.

        Args:
            files: WAV, FLAC, OGG, MP3, M4A or WebM files with speech of one person each, and zip
                files of them.

        Returns:
            A dict with "rows", one for each clip in order ({"file", "label", "score", the score
            of each emotion by its name, "transcript", "note", "error"}; the label may be
            "unsure"; for a clip that cannot be used, all values but "file" and "error" are null),
            and "csv", the same as a table.
        """
        with (
            page.one_line_errors(),
            received(files) as found,
            tempfile.TemporaryDirectory(prefix="ser-") as folder,
        ):
            clips = clips_of(found, Path(folder), classifier.settings)
            rows = []
            for row in results(classifier, clips):
                rows.append(row)
                progress((len(rows), len(clips)), unit="clips")
        return {"rows": rows, "csv": as_csv(rows)}

    page.publish(batch, [clip_files("files")], api_name="batch", **page.LONG)


def clips_of(
    files: Sequence[Path], folder: Path, settings: Settings
) -> list[tuple[str, Path | str]]:
    """List the clips of a request; zip files are unpacked into `folder`.

    Returns:
        For each clip its name, and its file or its error.

    Raises:
        ClipError: there is no file, there are too many, or the only zip cannot be unpacked.
    """
    if not files:
        raise ClipError("There are no clips yet: upload several, or a zip of them.")
    clips: list[tuple[str, Path | str]] = []
    for number, file in enumerate(files):
        if file.suffix.lower() != ".zip":
            clips.append((file.name, file))
            continue
        place = folder / str(number)
        try:
            unpacked = unpack(
                file,
                place,
                max_files=settings.max_clips,
                max_megabytes=settings.max_unpacked_megabytes,
            )
        except ClipError as error:
            if len(files) == 1:
                raise
            clips.append((file.name, str(error)))
            continue
        clips += [(path.relative_to(place).as_posix(), path) for path in unpacked]
    if len(clips) > settings.max_clips:
        raise ClipError(
            f"These are too many clips: {len(clips)}; at most {settings.max_clips} are accepted."
        )
    return clips


def results(
    classifier: Classifier, clips: Sequence[tuple[str, Path | str]]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each clip that `clips_of` has listed.

    Raises:
        ClipError: there is no model.
    """
    if classifier.problem:
        raise ClipError(classifier.problem)
    settings = classifier.settings
    names = ("label", "score", *classifier.labels, "transcript", "note", "error")
    for name, path in clips:
        row: dict[str, Any] = {"file": name, **dict.fromkeys(names)}
        try:
            if isinstance(path, str):
                raise ClipError(path)
            clip = read_clip(path, **settings.clip_limits, stream=classifier.audio_stream)
            result = classifier.classify(path, clip)
        except ClipError as error:
            yield {**row, "error": str(error)}
            continue
        row |= result.emotions[0]
        if result.unsure(settings.threshold):
            row["label"] = UNSURE
        row |= {emotion["label"]: emotion["score"] for emotion in result.emotions}
        yield {**row, "transcript": result.transcript, "note": result.note}


def sounds_of(
    classifier: Classifier, rows: Sequence[dict[str, Any]], paths: Sequence[Path | str]
) -> list[str]:
    """Return the clips of the rows as addresses of MP3 data; empty for errors and beyond a limit.

    Args:
        classifier: with the limits of a clip.
        rows: of `results`.
        paths: of `clips_of`.
    """
    sounds, held = [], 0.0
    for row, path in zip(rows, paths, strict=True):
        sounds.append("")
        if row["error"] is not None or held > HEARD_SECONDS:
            continue
        limits = classifier.settings.clip_limits
        clip = read_clip(path, **limits, stream=classifier.audio_stream)
        held += clip.seconds
        file = io.BytesIO()
        sf.write(file, clip.resampled(HEARD_RATE), HEARD_RATE, format="MP3")
        sounds[-1] = "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return sounds


def rows_html(rows: Sequence[dict[str, Any]], sounds: Sequence[str], labels: Sequence[str]) -> str:
    """Return the rows as a table, errors first; with its sound, a row plays when it is clicked.

    Args:
        rows: of `results`.
        sounds: address of each; empty for none.
        labels: of the model, to show the second likeliest emotion as well.
    """
    has_text = any(row["transcript"] for row in rows)
    heads = ("file", "emotion", "next", *(["words"] if has_text else []))
    body = []
    for row, sound in sorted(zip(rows, sounds, strict=True), key=lambda pair: not pair[0]["error"]):
        name, play = page.escaped(row["file"]), ""
        if sound:
            play = f'<button type="button" class="play" aria-label="Play {name}">▶</button> '
        cells = f'<th scope="row" class="words">{play}{name}</th>'
        if row["error"] is not None:
            wide = len(heads) - 1
            cells += f'<td class="words wrong" colspan="{wide}">{page.escaped(row["error"])}</td>'
        else:
            order = sorted(labels, key=lambda label: -row[label])
            second = page.label_html(order[1], row[order[1]]) if len(order) > 1 else ""
            label = f"{UNSURE}: {order[0]}" if row["label"] == UNSURE else row["label"]
            label = page.label_html(label, row["score"])
            cells += f'<td><span class="words">{label}</span></td>'
            cells += f'<td class="wide">{second}</td>'
            cells += f'<td class="words">{page.escaped(row["transcript"])}</td>' if has_text else ""
        body.append(f'<tr data-sound="{sound}">{cells}</tr>' if sound else f"<tr>{cells}</tr>")
    return page.answer_html(page.table_html(heads, "".join(body), caption="Emotion of each clip"))
