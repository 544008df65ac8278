"""The tab for one clip, and the endpoints `/predict` and `/explain`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import MAX_CHARACTERS, Classifier, Result
from clips import Clip, ClipError, draw, read_clip
from settings import HERE
from uploads import received

PAPER_SECONDS = 3
START = "Upload or record a clip, or choose an example; then click on the button."


def example_clips() -> list[str]:
    """Return the clips in `examples/` of this folder, or else of its parent."""
    for folder in (HERE / "examples", HERE.parent / "examples"):
        clips = sorted(p for p in folder.glob("*") if p.suffix in {".wav", ".flac"})
        if clips:
            return [str(clip) for clip in clips]
    return []


@contextmanager
def received_clip(audio: str | None, classifier: Classifier) -> Iterator[tuple[Path | None, Clip]]:
    """Move the file of a request and read it within the limits; see `received`, `read_clip`."""
    with received(audio) as files:
        path = files[0] if files else None
        limits = classifier.settings.clip_limits
        yield path, read_clip(path, **limits, stream=classifier.audio_stream)


def clip_field(name: str) -> gr.Audio:
    """Return a field for a clip from a file or the microphone.

    Args:
        name: id of the element.
    """
    return gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Clip",
        buttons=[],
        elem_id=name,
    )


def one_clip_tab(classifier: Classifier) -> None:
    """Build the tab for one clip."""
    with gr.Row():
        with gr.Column(min_width=320):
            audio = clip_field("clip")
            short = gr.Checkbox(
                True, label=f"Stop recording after {PAPER_SECONDS} seconds", elem_id="short"
            )
            ask = gr.Button("Classify emotion", variant="primary", elem_id="ask")
            if examples := example_clips():
                # Served from their folder, not copied to the uploads.
                gr.set_static_paths([Path(examples[0]).parent])
                gr.Examples(
                    [[example] for example in examples],
                    audio,
                    example_labels=[Path(example).stem for example in examples],
                    label="Examples (synthetic voices)",
                    api_visibility="private",
                )
        with gr.Column(min_width=320):
            line = page.status_field(classifier, START, "status")
            emotions = gr.Label(label="Emotions", num_top_classes=7, elem_id="emotions")
            with gr.Group(visible=classifier.supports_text):
                transcript = gr.Textbox(
                    label="Transcript",
                    info="Correct it or write it yourself; leave it empty to use the audio only.",
                    lines=2,
                    max_length=MAX_CHARACTERS,
                    elem_id="transcript",
                )
                again = gr.Button("Classify again with this text", elem_id="again")
    why = gr.HTML(elem_id="why")
    picture = gr.HTML(elem_id="picture")
    # Whether the visitor has typed a text that no answer has used yet.
    typed = gr.State(False)

    def first(audio: str | None, text: str, is_typed: bool) -> Iterator[dict[Any, Any]]:
        yield from show(audio, text if is_typed else None)

    def show(audio: str | None, text: str | None) -> Iterator[dict[Any, Any]]:
        """Show the result, or one line with the error; a generator, so that it can be cancelled."""
        yield {line: page.status("hint", "Working on the clip.")}
        yield {**answered(audio, text), typed: False}

    def answered(audio: str | None, text: str | None) -> dict[Any, Any]:
        filled: dict[Any, Any] = {emotions: None, why: "", picture: ""}
        try:
            with received_clip(audio, classifier) as (path, clip):
                alt = f"Waveform of the clip, {clip.seconds:.1f} s, above its mel spectrogram"
                filled[picture] = page.picture_html(draw(clip), alt)
                result = classifier.classify(path, clip, text=text, contributions=True)
        except ClipError as error:
            return {**filled, line: page.status("error", str(error))}
        filled[emotions] = {emotion["label"]: emotion["score"] for emotion in result.emotions}
        filled |= {transcript: result.transcript or "", why: contributions_html(result)}
        return {**filled, line: result_status(result, classifier.settings.threshold)}

    outputs = [line, emotions, transcript, why, picture, typed]
    options = {
        "api_visibility": "private",
        "show_progress_on": [emotions],
        "js": page.sends("clip"),
    }
    requests = [
        ask.click(first, [audio, transcript, typed], outputs, **options, **page.CLIPS),
        again.click(show, [audio, transcript], outputs, **options, **page.CLIPS),
    ]
    transcript.input(
        lambda: True, None, typed, queue=False, show_progress="hidden", api_visibility="private"
    )
    page.forget_answers(
        audio,
        requests,
        outputs[:-1],
        lambda text, is_typed: (line.value, None, text if is_typed else "", "", ""),
        [transcript, typed],
    )
    stop = f"(wanted) => window.ser.stopAfter(wanted, {PAPER_SECONDS}, 'clip')"
    audio.start_recording(None, short, js=stop, api_visibility="private")
    _publish(classifier)


def result_status(result: Result, threshold: float) -> str:
    """Return the status line of a result: its modalities, and whether it is unsure."""
    sources = "audio only"
    if "text" in result.modalities:
        given = result.transcript_source == "given"
        sources = "audio and " + ("your text" if given else "its transcript")
    line = f"Classified from {sources} in {result.elapsed_seconds:.2f} s"
    line += f" ({result.clip_seconds:.1f} s of audio)."
    if result.clip_seconds < 1:
        line += " The clip is shorter than a second, so the result is less reliable."
    if result.note:
        line += f" No transcript: {result.note.rstrip('.')}."
    if not result.unsure(threshold):
        return page.status("ok", line)
    best = result.emotions[0]
    return page.status(
        "unsure",
        f"Not sure: no emotion reaches {threshold:.0%}, the likeliest is {best['label']} with "
        f"{best['score']:.0%}. {line}",
    )


def contributions_html(result: Result) -> str:
    """Show the audio-only, text-only and fused probabilities, and the effect of each modality."""
    parts = result.contributions
    if parts is None:
        return ""
    if parts["text"] is None:
        return page.answer_html("<p>There is no text, so the result is from audio only.</p>")
    shares = [parts["audio"], parts["text"], parts["fused"]]
    rows = [
        [page.label_html(emotion["label"]), *(_bar(share[emotion["label"]]) for share in shares)]
        for emotion in result.emotions
    ]
    moved = parts["moved"]
    line = (
        f"Without the audio, {moved['audio']:.0%} of the probability would be on other emotions; "
        f"without the text, {moved['text']:.0%}. Most models were not trained on text only, so "
        "the text-only probabilities are less reliable."
    )
    heads = ["emotion", "audio only", "text only", "fused"]
    return page.answer_html(
        f"<p>{line}</p>" + page.table(heads, rows, caption="Effect of each modality")
    )


def _bar(share: float) -> str:
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{share:.1%}"></i></span>'
    return f"{bar}{share:.0%}"


def _publish(classifier: Classifier) -> None:
    def classified(audio: str, text: str, *, contributions: bool) -> Result:
        words = (text or "").strip() or None
        with page.one_line_errors(), received_clip(audio, classifier) as (path, clip):
            return classifier.classify(path, clip, text=words, contributions=contributions)

    def predict(audio: str, text: str = "") -> dict[str, Any]:
        """Classify the emotion of one short clip of speech.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            text: the words of the clip, if they are known. If it is empty, the model transcribes
                the clip itself if it can.

        Returns:
            A dict with "emotions" (a list of {"label", "score"} for angry, calm, disgust,
            fearful, happy, sad and surprised, highest score first; scores sum to 1),
            "transcript", "transcript_source" ("given", the transcriber's name, or null), "note"
            (why there is no transcript, or null), "modalities" (["audio"] or
            ["audio", "text"]), "clip_seconds" and "elapsed_seconds".
        """
        return classified(audio, text, contributions=False).to_dict()

    def explain(audio: str, text: str = "") -> dict[str, Any]:
        """Classify the emotion of one short clip, and show the effect of audio and text.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            text: the words of the clip, if they are known. If it is empty, the model transcribes
                the clip itself if it can.

        Returns:
            All that predict returns, and "label" (the likeliest emotion, or null if unsure),
            "unsure" (true if no emotion reaches the server's threshold) and "contributions": the
            scores by label of "audio" only, "text" only (null without a text) and both ("fused"),
            and "moved", the share of the probability, 0 to 1, that would be on other labels
            without the audio, and without the text. It is null for a model that is audio-only.
        """
        result = classified(audio, text, contributions=True)
        unsure = result.unsure(classifier.settings.threshold)
        label = None if unsure else result.emotions[0]["label"]
        extra = {"label": label, "unsure": unsure, "contributions": result.contributions}
        return {**result.to_dict(), **extra}

    for function in (predict, explain):
        clip = gr.Audio(type="filepath", label="audio", visible=False)
        words = gr.Textbox("", label="text", visible=False)
        page.publish(function, [clip, words], api_name=function.__name__, **page.CLIPS)
