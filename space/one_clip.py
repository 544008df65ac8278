"""The tab for one clip, and the endpoints `/predict` and `/explain`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from classifier import HERE, MAX_LETTERS, Answer, Classifier, Settings
from clips import Clip, ClipError, draw, read_clip
from endpoints import CLIPS, one_line_errors, publish, sends
from files import taken
from looks import contributions_html, describe, picture_html, status

PAPER_SECONDS = 3
START = "Upload or record a clip, or take an example; then ask."


def example_clips() -> list[str]:
    """Return the clips in `examples/` of this folder, or else of the folder above it."""
    for folder in (HERE / "examples", HERE.parent / "examples"):
        clips = sorted(p for p in folder.glob("*") if p.suffix in {".wav", ".flac"})
        if clips:
            return [str(clip) for clip in clips]
    return []


@contextmanager
def taken_clip(audio: str | None, settings: Settings) -> Iterator[tuple[Path | None, Clip]]:
    """Take the file of a request, and read it within the limits; see `taken` and `read_clip`."""
    with taken(audio) as files:
        path = files[0] if files else None
        limits = {"max_seconds": settings.max_seconds, "max_megabytes": settings.max_megabytes}
        yield path, read_clip(path, **limits)


def clip_field(name: str) -> gr.Audio:
    """Return a field that takes a clip from a file or the microphone.

    Args:
        name: its id on the page.
    """
    return gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Clip",
        buttons=[],
        elem_id=name,
    )


def one_clip_tab(classifier: Classifier) -> None:
    """Lay out the tab for one clip."""
    problem = classifier.problem
    start = status("error", problem) if problem else status("hint", START)
    with gr.Row():
        with gr.Column(min_width=320):
            audio = clip_field("clip")
            short = gr.Checkbox(
                True, label=f"Stop recording after {PAPER_SECONDS} seconds", elem_id="short"
            )
            ask = gr.Button("Recognise emotion", variant="primary", elem_id="ask")
            if examples := example_clips():
                # Served from where they are, never copied among the uploads.
                gr.set_static_paths([Path(examples[0]).parent])
                gr.Examples(
                    [[example] for example in examples],
                    audio,
                    example_labels=[Path(example).stem for example in examples],
                    label="Examples (synthetic voices)",
                    api_visibility="private",
                )
        with gr.Column(min_width=320):
            line = gr.HTML(start, elem_id="status", elem_classes="status")
            emotions = gr.Label(label="Emotions", num_top_classes=7, elem_id="emotions")
            with gr.Group(visible=classifier.supports_text):
                transcript = gr.Textbox(
                    label="Transcript",
                    info="Correct it or write it yourself; empty, the audio alone answers.",
                    lines=2,
                    max_length=MAX_LETTERS,
                    elem_id="transcript",
                )
                again = gr.Button("Ask again with this text", elem_id="again")
    why = gr.HTML(elem_id="why")
    picture = gr.HTML(elem_id="picture")

    def show(audio: str | None, text: str | None = None) -> dict[Any, Any]:
        """Fill the page, or say in a line why not."""
        filled: dict[Any, Any] = {emotions: None, why: "", picture: ""}
        try:
            with taken_clip(audio, classifier.settings) as (path, clip):
                alt = f"Waveform of the clip, {clip.seconds:.1f} s, above its mel spectrogram"
                filled[picture] = picture_html(draw(clip), alt)
                answer = classifier.answer(path, clip, text=text, contributions=True)
        except ClipError as error:
            return {**filled, line: status("error", str(error))}
        filled[emotions] = {row["label"]: row["score"] for row in answer.emotions}
        filled |= {transcript: answer.transcript or "", why: contributions_html(answer)}
        return {**filled, line: describe(answer, classifier.settings.threshold)}

    outputs = [line, emotions, transcript, why, picture]
    page = {"api_visibility": "private", "show_progress_on": [emotions], "js": sends("clip")}
    ask.click(show, audio, outputs, **page, **CLIPS)
    again.click(show, [audio, transcript], outputs, **page, **CLIPS)
    # An answer must never stand beside a clip that it is not about.
    audio.change(
        lambda: (start, None, "", "", ""),
        None,
        outputs,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    stop = f"(wanted) => window.ser.stopAfter(wanted, {PAPER_SECONDS}, 'clip')"
    audio.start_recording(None, short, js=stop, api_visibility="private")
    _publish(classifier)


def _publish(classifier: Classifier) -> None:
    def answered(audio: str, text: str, *, contributions: bool) -> Answer:
        words = (text or "").strip() or None
        with one_line_errors(), taken_clip(audio, classifier.settings) as (path, clip):
            return classifier.answer(path, clip, text=words, contributions=contributions)

    def predict(audio: str, text: str = "") -> dict[str, Any]:
        """Recognise the emotion of one short clip of speech.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            text: the words of the clip, when they are known. Left empty, the model transcribes
                the clip itself if it can.

        Returns:
            A dict with "emotions" (a list of {"label", "score"} for angry, calm, disgust,
            fearful, happy, sad and surprised, highest score first; scores sum to 1),
            "transcript", "transcript_source" ("given", the transcriber's name, or null), "note"
            (why there is no transcript, or null), "modalities" (["audio"] or
            ["audio", "text"]), "clip_seconds" and "elapsed_seconds".
        """
        return answered(audio, text, contributions=False).to_dict()

    def explain(audio: str, text: str = "") -> dict[str, Any]:
        """Recognise the emotion of one short clip, and say what the voice and the words did.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            text: the words of the clip, when they are known. Left empty, the model transcribes
                the clip itself if it can.

        Returns:
            All that /predict returns, and "label" (the likeliest emotion, or null when unsure),
            "unsure" (true when no emotion is as likely as the server's threshold) and
            "contributions": the scores by label of "audio" alone, "text" alone (null without
            words) and both ("fused"), and "moved", how much of the probability, 0 to 1, would
            lie elsewhere without the audio, and without the text. It is null for a model that
            only listens.
        """
        answer = answered(audio, text, contributions=True)
        unsure = answer.unsure(classifier.settings.threshold)
        label = None if unsure else answer.emotions[0]["label"]
        extra = {"label": label, "unsure": unsure, "contributions": answer.contributions}
        return {**answer.to_dict(), **extra}

    for function in (predict, explain):
        clip = gr.Audio(type="filepath", label="audio", visible=False)
        words = gr.Textbox("", label="text", visible=False)
        publish(function, [clip, words], api_name=function.__name__, **CLIPS)
