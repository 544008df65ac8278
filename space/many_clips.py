"""The tab for many clips, and the endpoint `/batch`."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import page
from archives import AUDIO_SUFFIXES, unpack
from classifier import Classifier
from clips import ClipError, read_clip
from settings import Settings
from timeline import UNSURE, as_csv
from uploads import clip_files, received

START = "Upload several clips, or a zip of them. Each has a row with its result or its error."


def many_clips_tab(classifier: Classifier) -> None:
    """Build the tab for several clips."""
    with gr.Row():
        with gr.Column(min_width=320):
            files = gr.File(
                file_count="multiple",
                type="filepath",
                file_types=[*AUDIO_SUFFIXES, ".zip"],
                label=f"Clips or zip files, up to {classifier.settings.max_clips} clips",
                elem_id="clips",
            )
            ask, stop = page.run_and_cancel_buttons("Classify all", "clips")
        with gr.Column(min_width=320):
            line = page.status_field(classifier, START, "clips-status")
    answer = gr.HTML(elem_id="clips-answer")

    def show(paths: list[str] | None) -> Iterator[tuple[str, str]]:
        """Show progress and the rows so far, or one line with the error."""
        yield page.status("hint", "Reading the files.", share=0.0), ""
        rows: list[dict[str, Any]] = []
        try:
            with received(paths) as found, tempfile.TemporaryDirectory(prefix="ser-") as folder:
                clips = clips_of(found, Path(folder), classifier.settings)
                for row in results(classifier, clips):
                    rows.append(row)
                    done = f"{len(rows)} of {len(clips)} clips."
                    share = len(rows) / len(clips)
                    yield page.status("hint", done, share=share), rows_html(rows, classifier.labels)
        except ClipError as error:
            yield page.status("error", str(error)), ""
            return
        bad = sum(row["error"] is not None for row in rows)
        summary = f"{len(rows) - bad} of {len(rows)} clips classified."
        if bad:
            summary += f" {bad} could not be used; their rows give the errors."
        table = rows_html(rows, classifier.labels) + page.downloads({"emotions.csv": as_csv(rows)})
        yield page.status("ok", summary), page.answer_html(table)

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
            files: WAV, FLAC, OGG or MP3 files with speech of one person each, and zip files of
                them.

        Returns:
            A dict with "rows", one for each clip in order ({"file", "label", "score", "angry",
            "calm", "disgust", "fearful", "happy", "sad", "surprised", "transcript", "note",
            "error"}; the label may be "unsure"; for a clip that cannot be used, all values but
            "file" and "error" are null), and "csv", the same as a table.
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


def rows_html(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """Return the rows as a table."""
    has_text = any(row["transcript"] for row in rows)
    heads = ("file", "emotion", *labels, *(["words"] if has_text else []))
    body = []
    for row in rows:
        name = f'<th scope="row">{page.escaped(row["file"])}</th>'
        if row["error"] is not None:
            wide = len(heads) - 1
            cells = f'<td class="words wrong" colspan="{wide}">{page.escaped(row["error"])}</td>'
        else:
            cells = f"<td>{page.label_html(row['label'], row['score'])}</td>"
            cells += "".join(f"<td>{row[label]:.0%}</td>" for label in labels)
            cells += f'<td class="words">{page.escaped(row["transcript"])}</td>' if has_text else ""
        body.append(f"<tr>{name}{cells}</tr>")
    return page.answer_html(page.table_html(heads, "".join(body), caption="Emotion of each clip"))
