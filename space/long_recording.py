"""The tab for a long recording, and the endpoint `/timeline`."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np
import page
from classifier import Classifier
from clips import ClipError, counted
from exports import NO_SPEECH, as_csv, as_srt, as_textgrid, draw_timeline, lanes
from timeline import Recording, run
from uploads import received

START = "Upload or record a talk, a call or a meeting to get a timeline of its emotions."
BARS = 600
"""Most bars of the drawn waveform."""

SHOWN = 2000
"""Most segments in the table of the page; the downloads have all."""


def long_recording_tab(classifier: Classifier) -> None:
    """Build the tab for a recording of minutes or hours."""
    minutes = classifier.settings.max_recording_minutes
    with gr.Row():
        with gr.Column(min_width=320):
            file = gr.File(
                type="filepath", label=f"Recording, up to {minutes:g} minutes", elem_id="recording"
            )
            with gr.Accordion("Record it here", open=False):
                microphone = gr.Audio(
                    sources=["microphone"],
                    type="filepath",
                    label="Microphone",
                    buttons=[],
                    elem_id="recording-microphone",
                )
            speakers = gr.Checkbox(
                label="One speaker on each channel",
                info="As in recorded calls: each speaker gets a timeline.",
                visible=False,
                elem_id="recording-speakers",
            )
            page.when_loaded(speakers, lambda: gr.update(visible=classifier.supports_text))
            with gr.Accordion("Windows", open=False):
                window = gr.Slider(1, 30, 4, step=0.5, label="Length of a window, in seconds")
                hop = gr.Slider(0.5, 30, 2, step=0.5, label="Step to the next window, in seconds")
                smoothing = gr.Slider(1, 15, 3, step=2, label="Windows that are averaged")
        with gr.Column(min_width=320):
            ask, stop = page.run_and_cancel_buttons("Make the timeline", "recording")
            line = page.status_field(classifier, START, "recording-status")
    answer = gr.HTML(elem_id="recording-answer", padding=False)

    def show(
        path: str | None, window_s: float, hop_s: float, smoothing: float, speakers: bool
    ) -> Iterator[tuple[str, str]]:
        """Show progress, then the timeline; or one line with the error."""
        yield page.status("hint", "Reading the recording.", share=0.0), ""
        recording = None
        try:
            with received(path) as files:
                if not files:
                    raise ClipError("There is no recording yet: upload one.")
                options = {
                    "window_s": window_s,
                    "hop_s": hop_s,
                    "smoothing": int(smoothing),
                    "speakers": speakers,
                }
                for recording in run(classifier, files[0], **options):
                    share = recording.share
                    done = f"{clock(share * recording.seconds)} of {clock(recording.seconds)}"
                    said = f"{page.WAITING} " if recording.waits else ""
                    yield page.status("hint", f"{said}Classified {done}.", share=share), ""
        except ClipError as error:
            yield page.status("error", str(error)), ""
            return
        said = f"{_summary(recording)} Windows of {window_s:g} s, one every {hop_s:g} s."
        yield page.status("ok", said), timeline_html(recording, files[0].name)

    asked = page.run_and_cancel(
        ask,
        stop,
        show,
        [file, window, hop, smoothing, speakers],
        [line, answer],
        field="recording",
        cancelled="Cancelled. The recording has been removed from the server.",
    )
    # What was recorded takes the place of an upload.
    microphone.stop_recording(
        None, microphone, file, js="(sound) => sound", api_visibility="private"
    )
    asked.then(
        None, None, None, js="() => window.ser.player('recording-answer')", api_visibility="private"
    )
    _publish(classifier)


def _publish(classifier: Classifier) -> None:
    def timeline(
        recording: str,
        window_s: float = 4.0,
        hop_s: float = 2.0,
        smoothing: float = 3,
        speakers: bool = False,
        progress: gr.Progress = gr.Progress(),  # noqa: B008, as Gradio wants it
    ) -> dict[str, Any]:
        """Classify how the emotion changes in a recording of minutes or hours.

        Args:
            recording: a WAV, FLAC, OGG, MP3, M4A or WebM file.
            window_s: length of a window in seconds, 0.5 to 60.
            hop_s: seconds from one window to the next, 0.25 to window_s.
            smoothing: number of windows, an odd one, over which probabilities are averaged.
            speakers: true if each channel of the recording holds one speaker, as in recorded
                calls. Segments and windows then have a "speaker", and "speakers" sums up each.

        Returns:
            A dict with "segments" (a list of {"start", "end", "label", "score", "transcript"}
            without gaps, times in seconds; the label is an emotion, "unsure", or "no speech" with
            the score null), "windows" (before neighbours of one label were merged: {"start",
            "end", "label", "score", "scores"}), "emotions" (of the whole recording), "seconds",
            "note" (why there is no transcript, or null), and the segments as "csv" and "srt".
        """
        with page.one_line_errors(), received(recording) as files:
            if not files:
                raise ClipError("There is no recording.")
            options = {"window_s": window_s, "hop_s": hop_s, "smoothing": int(smoothing)}
            options["speakers"] = bool(speakers)
            for found in run(classifier, files[0], **options):
                progress(found.share)
        return found.to_dict()

    inputs = [
        gr.File(type="filepath", label="recording", visible=False),
        gr.Number(4.0, label="window_s", visible=False),
        gr.Number(2.0, label="hop_s", visible=False),
        gr.Number(3, label="smoothing", visible=False),
        gr.Checkbox(False, label="speakers", visible=False),
    ]
    page.publish(timeline, inputs, api_name="timeline", **page.LONG)


def _summary(recording: Recording) -> str:
    spoken = [s for s in recording.segments if s["label"] != NO_SPEECH]
    if not spoken:
        return f"Nobody speaks in these {clock(recording.seconds)}."
    note = recording.result["note"]
    note = f" No transcript: {note.rstrip('.')}." if note else ""
    segments = counted(len(recording.segments), "segment")
    return f"{segments} in {clock(recording.seconds)}.{note}"


def timeline_html(recording: Recording, name: str) -> str:
    """Return player, coloured waveform, segments and downloads as HTML."""
    segments = recording.segments
    names = list(lanes(segments))
    full = {k: v for k, v in recording.to_dict().items() if k not in {"csv", "srt"}}
    files = {
        "segments.csv": as_csv(segments),
        "segments.srt": as_srt(segments),
        "segments.TextGrid": as_textgrid(segments, recording.seconds),
        "timeline.json": json.dumps(full, indent=2),
        "timeline.png": draw_timeline(segments, recording.peaks, recording.seconds),
    }
    parts = [
        '<audio controls preload="metadata" aria-label="The recording"></audio>',
        _wave(recording.peaks, segments, recording.seconds),
        f'<div class="times"><span>0:00</span><span>{clock(recording.seconds)}</span></div>',
        _legend(segments),
        f"<p>Strips, from above: {page.escaped(', '.join(names))}.</p>" if len(names) > 1 else "",
        page.downloads(files),
        _table(segments, name),
    ]
    return page.answer_html("".join(parts), "timeline")


def _wave(peaks: Sequence[float], segments: Sequence[dict[str, Any]], seconds: float) -> str:
    """Return the waveform, coloured by emotion, above a strip of emotions for each speaker."""
    count = len(peaks)
    edges = np.linspace(0, count, min(BARS, count) + 1).astype(int)  # of unequal groups
    heights = np.maximum.reduceat(np.asarray(peaks), edges[:-1])
    heights = heights / max(heights.max(), 1e-9)
    times = edges * (seconds / count)
    rows = lanes(segments)
    tall = 100 + 12 * len(rows)
    shapes = []
    for row, members in enumerate(rows.values()):
        for one in members:
            place = f'x="{one["start"]:.3f}" width="{one["end"] - one["start"]:.3f}"'
            colour = page.colour_of(one["label"])
            shapes.append(f'<rect {place} y="{101 + 12 * row}" height="10" fill="{colour}"/>')
            if len(rows) == 1:
                shapes.append(f'<rect {place} y="0" height="100" fill="{colour}" opacity="0.25"/>')
    ends = np.array([segment["end"] for segment in segments])
    for start, end, height in zip(times, times[1:], heights, strict=False):
        place = min(np.searchsorted(ends, (start + end) / 2), len(ends) - 1)
        colour = page.colour_of(segments[place]["label"] if len(rows) == 1 else "")
        size = max(1.0, 90 * float(height))
        shapes.append(
            f'<rect x="{start:.3f}" width="{0.7 * (end - start):.3f}" y="{50 - size / 2:.1f}" '
            f'height="{size:.1f}" fill="{colour}"/>'
        )
    names = [name for name in rows if name]
    text = f"Waveform of {clock(seconds)}, coloured by emotion"
    if names:
        text = f"Waveform of {clock(seconds)}; below it the emotions of {', '.join(names)}"
    return (
        f'<div class="wave" tabindex="0" role="slider" aria-label="Place in the recording" '
        f'aria-valuemin="0" aria-valuemax="{seconds:.0f}" aria-valuenow="0" '
        f'data-seconds="{seconds:.3f}"><svg role="img" aria-label="{page.escaped(text)}" '
        f'viewBox="0 0 {seconds:.3f} {tall}" preserveAspectRatio="none">{"".join(shapes)}</svg>'
        '<div class="head"></div></div>'
    )


def _legend(segments: Sequence[dict[str, Any]]) -> str:
    times: dict[str, float] = {}
    for segment in segments:
        label = segment["label"]
        times[label] = times.get(label, 0.0) + segment["end"] - segment["start"]
    names = sorted(times, key=times.get, reverse=True)
    spans = [f"<span>{page.label_html(name)} {clock(times[name])}</span>" for name in names]
    return f'<div class="legend">{"".join(spans)}</div>'


def _table(segments: Sequence[dict[str, Any]], name: str) -> str:
    has_text = any(segment["transcript"] for segment in segments)
    has_speakers = any("speaker" in segment for segment in segments)
    speaker = ["speaker"] if has_speakers else []
    heads = ("from", "to", *speaker, "emotion", *(["words"] if has_text else []))
    body = []
    for segment in segments[:SHOWN]:
        start, end = segment["start"], segment["end"]
        body.append(
            f'<tr data-from="{start}" data-to="{end}"><td>'
            f'<button type="button" class="play" data-start="{start}" '
            f'aria-label="Play from {clock(start)}">'
            f"▶ {clock(start)}</button></td><td class='wide'>{clock(end)}</td>"
            + (f"<td>{page.escaped(segment['speaker'])}</td>" if has_speakers else "")
            + f"<td>{page.label_html(segment['label'], segment['score'])}</td>"
            + (f'<td class="words">{page.escaped(segment["transcript"])}</td>' if has_text else "")
            + "</tr>"
        )
    more = len(segments) - SHOWN
    note = f" (the first {SHOWN}; the downloads have {more} more)" if more > 0 else ""
    return page.table_html(heads, "".join(body), caption=f"Segments of {name}{note}")


def clock(seconds: float) -> str:
    """Return a time as m:ss or h:mm:ss, rounded down as players show it.

    >>> clock(65), clock(2.9), clock(3723)
    ('1:05', '0:02', '1:02:03')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
