"""The demo: a clip in, its emotions out, in a browser or over the API (`python space/app.py`)."""

import html
import os
import sys
from pathlib import Path
from typing import Any

# Gradio reads these while it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from clips import ClipError, draw, read_clip
from recogniser import HERE, Answer, Recogniser, Settings

TITLE = "Speech emotion recogniser"
CLEANING_SECONDS = (600, 3600)
"""Gradio looks for old clips this often, and removes those that are older than this."""

CONCURRENCY = 1
"""Requests that the model answers at the same time: pipelines do not promise to be thread-safe."""

CSS = """
#status p { margin: 0; padding: 0.6rem 0.8rem; border-radius: 8px; border-left: 4px solid;
  background: var(--block-background-fill); color: var(--body-text-color); }
#status p.ok { border-color: #059669; }
#status p.hint { border-color: #6366f1; }
#status p.error { border-color: #dc2626; }
#picture .image-container { padding-top: 2.2rem; }
#picture img { max-height: 420px; object-fit: contain; }
footer { opacity: 0.8; }
"""

INTRO = f"""# {TITLE}
How does a voice sound: angry, calm, disgusted, fearful, happy, sad or surprised?
Three seconds of one person speaking are enough (WAV, FLAC, OGG, MP3, or your microphone).
"""

ABOUT = """### What it does
The model **{name}** listens to a clip and, when it knows the words, reads them too. It answers
with a probability for each of: {labels}.

### What to expect
- This project's models learnt from **acted** English speech. Spontaneous or noisy speech and
  other languages are harder, and a high probability is not certainty.
- It says how a voice *sounds*, not what a person feels. Do not use it to judge people; in the
  European Union the law forbids inferring emotions at work and in school.

### Your clips
Clips are used for the answer and for nothing else. They are removed from the server
about {minutes} minutes after they came, or earlier when it restarts.

### From a program
```python
from gradio_client import Client, handle_file

client = Client("ADDRESS OF THIS PAGE")
client.predict(handle_file("clip.wav"), api_name="/predict")
client.predict(handle_file("clip.wav"), "No! Leave me alone!", api_name="/predict")
```
Limits: {max_seconds:g} seconds and {max_megabytes:g} MB a clip.
"""


def status(kind: str, line: str) -> str:
    """Return the status line as HTML; kind is ok, hint or error."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="{kind}" role="{role}">{html.escape(line)}</p>'


def describe(answer: Answer) -> str:
    """Say in one line what the answer rests on."""
    sources = "the audio alone"
    if "text" in answer.modalities:
        own_words = answer.transcript_source == "given"
        sources = "the audio and " + ("your text" if own_words else "its transcript")
    line = f"Answered from {sources} in {answer.elapsed_seconds:.2f} s"
    line += f" ({answer.clip_seconds:.1f} s of audio)."
    return f"{line} No transcript: {answer.note.rstrip('.')}." if answer.note else line


def example_clips() -> list[str]:
    """Return the clips in `examples/` of this folder, or else of the folder above it."""
    for folder in (HERE / "examples", HERE.parent / "examples"):
        clips = sorted(p for p in folder.glob("*") if p.suffix in {".wav", ".flac"})
        if clips:
            return [str(clip) for clip in clips]
    return []


def build_demo(settings: Settings | None = None) -> gr.Blocks:
    """Load the model and build the page.

    Args:
        settings: model, transcriber and limits; from the environment when not given.

    Returns:
        The page, with its queue; `launch(**launch_options(settings))` serves it. A model that
        cannot be loaded gives a page that says so.
    """
    settings = settings or Settings.from_environment()
    recogniser = Recogniser(settings)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CLEANING_SECONDS) as demo:
        gr.Markdown(INTRO)
        with gr.Tab("One clip"):
            clip_tab(recogniser)
        with gr.Tab("About"):
            about_tab(recogniser)
    return demo.queue(max_size=64, default_concurrency_limit=CONCURRENCY)


def clip_tab(recogniser: Recogniser) -> None:
    """Lay out the tab for one clip and its two endpoints: the page's own and `/predict`."""
    settings = recogniser.settings
    limits = {"max_seconds": settings.max_seconds, "max_megabytes": settings.max_megabytes}
    if recogniser.problem:
        start = status("error", recogniser.problem)
    else:
        start = status("hint", "Upload or record a clip, or take an example; then ask.")

    with gr.Row():
        with gr.Column(min_width=320):
            audio = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",
                label="Clip",
                buttons=["download"],
                elem_id="clip",
            )
            ask = gr.Button("Recognise emotion", variant="primary", elem_id="ask")
            examples = example_clips()
            if examples:
                names = [Path(example).stem for example in examples]
                gr.Examples(
                    [[example] for example in examples],
                    audio,
                    example_labels=names,
                    label="Examples (synthetic voices)",
                    api_visibility="private",
                )
        with gr.Column(min_width=320):
            line = gr.HTML(start, elem_id="status")
            emotions = gr.Label(label="Emotions", num_top_classes=7, elem_id="emotions")
            with gr.Group(visible=recogniser.supports_text):
                transcript = gr.Textbox(
                    label="Transcript",
                    info="Correct it or write it yourself; empty, the audio alone answers.",
                    lines=2,
                    max_length=2000,
                    elem_id="transcript",
                )
                again = gr.Button("Ask again with this text", elem_id="again")
    picture = gr.Image(
        label="Waveform and spectrogram",
        alt_text="Waveform of the clip above its mel spectrogram",
        image_mode="RGBA",
        interactive=False,
        buttons=["fullscreen"],
        elem_id="picture",
    )

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
        try:
            clip = read_clip(audio, **limits)
            return recogniser.answer(audio, clip, text=text.strip() or None).to_dict()
        except ClipError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def show(audio: str | None, text: str | None = None) -> dict[Any, Any]:
        """Fill the page: chart, transcript, status line, picture; or a line that says why not."""
        filled = {emotions: None, picture: None}
        try:
            clip = read_clip(audio, **limits)
            filled[picture] = draw(clip)
            answer = recogniser.answer(audio, clip, text=text)
        except ClipError as error:
            return {**filled, line: status("error", str(error))}
        scores = {row["label"]: row["score"] for row in answer.emotions}
        filled |= {emotions: scores, transcript: answer.transcript or ""}
        return {**filled, line: status("ok", describe(answer))}

    outputs = [line, emotions, transcript, picture]
    # One concurrency_id: a request from the page and one over the API share the same slots.
    shared = {"concurrency_id": "model", "concurrency_limit": CONCURRENCY}
    page = {"api_visibility": "private", "show_progress_on": [emotions], **shared}
    ask.click(show, audio, outputs, **page)
    again.click(show, [audio, transcript], outputs, **page)
    # An answer must never stand beside a clip that it is not about.
    audio.change(
        lambda: (start, None, "", None),
        None,
        outputs,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    # The API answers with one JSON object, and its parameters must not depend on the page.
    words, result = gr.Textbox("", visible=False), gr.JSON(label="answer", visible=False)
    gr.Button(visible=False).click(predict, [audio, words], result, api_name="predict", **shared)


def about_tab(recogniser: Recogniser) -> None:
    """Say what the model is, what it is not for, and what happens to a clip."""
    settings = recogniser.settings
    gr.Markdown(
        ABOUT.format(
            name=recogniser.name,
            labels=", ".join(recogniser.labels) or "(the model is not loaded)",
            minutes=CLEANING_SECONDS[1] // 60,
            max_seconds=settings.max_seconds,
            max_megabytes=settings.max_megabytes,
        )
    )


def launch_options(settings: Settings) -> dict[str, Any]:
    """Return what `launch` needs: looks, limits, nothing shared, nothing fetched from outside."""
    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Soft(
        primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(
        background_fill_primary="*neutral_50",  # Soft's own, which `set` would forget
        # The theme's own label and hint colours are too pale to read with ease.
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )
    return {
        "theme": theme,
        "css": CSS,
        "share": False,
        "ssr_mode": False,
        "footer_links": ["api", "settings"],
        "max_file_size": int(settings.max_megabytes * 1e6),
    }


def main() -> int:
    """Serve the page until it is interrupted, and return the exit code."""
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    build_demo(settings).launch(**launch_options(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
