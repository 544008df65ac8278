"""The tab for one clip, and the endpoints `/predict` and `/explain`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import MAX_CHARACTERS, Classifier, Result
from clips import Clip, ClipError, draw, read_clip
from exports import UNSURE, as_csv
from lock import Request, in_steps
from settings import HERE
from uploads import received

PAPER_SECONDS = 3
START = "Record or upload a clip, or click on an example: the answer comes at once."
CHANGED = "The text has changed since this answer. Click on Classify again to use it."

LISTENING = "Listening to the voice."
VOICE = "This is what the voice alone says:"

CLOSE = 0.1
"""Two emotions whose probabilities differ by less are a close call."""

LITTLE = 0.1
"""Share of the probability, 0 to 1, below which a modality has moved almost nothing."""


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
        elem_classes="sound",
    )


def one_clip_tab(classifier: Classifier) -> None:
    """Build the tab for one clip; what is uploaded or recorded is classified at once."""
    with gr.Row():
        with gr.Column(min_width=320):
            audio = clip_field("clip")
            short = gr.Checkbox(
                True, label=f"Stop recording after {PAPER_SECONDS} seconds", elem_id="short"
            )
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
            answer = gr.HTML(elem_id="answer", padding=False)
            transcript = gr.Textbox(
                label="Transcript",
                info="Correct it or write it yourself; leave it empty to use the audio only.",
                lines=2,
                max_length=MAX_CHARACTERS,
                elem_id="transcript",
                visible=False,
            )
            again = gr.Button("Classify again with this text", elem_id="again", visible=False)
            more = gr.HTML(elem_id="more", padding=False)
    ask = gr.Button(visible="hidden", elem_id="ask")  # clicked by the page when there is a clip

    def show(audio: str | None, text: str | None = None) -> Iterator[dict[Any, Any]]:
        """Show what the voice says, then the result, or one line with the error."""
        said, voice = LISTENING, ""
        yield {line: page.status("hint", said, busy=True)}
        try:
            with received_clip(audio, classifier) as (path, clip):
                classify = partial(classifier.classify, path, clip)
                if text is None and classifier.transcribes:
                    for step in in_steps(partial(classify, text="")):
                        if isinstance(step, Request):
                            yield {line: page.working(step, said)}
                    said, voice = "Transcribing the words.", VOICE
                    now = page.status("hint", f"{said} {voice}", busy=True)
                    yield {line: now, answer: shown(step)}
                for step in in_steps(partial(classify, text=text, contributions=True)):
                    if isinstance(step, Request):
                        yield {line: page.working(step, said, voice)}
                result = step
                words = {"visible": classifier.supports_text}
                if text is None:  # what a visitor has written stays as it is
                    words["value"] = result.transcript or ""
                yield {
                    line: result_status(result),
                    answer: shown(result),
                    more: details(result, clip),
                    transcript: gr.update(**words),
                    again: gr.update(visible=classifier.supports_text),
                }
        except ClipError as error:
            yield {
                line: page.status("error", str(error)),
                answer: "",
                more: "",
                again: gr.update(visible=text is not None),
            }

    def shown(result: Result) -> str:
        return page.answer_html(result_html(result, classifier.settings.threshold))

    def details(result: Result, clip: Clip) -> str:
        """Return what is folded away, and the downloads."""
        parts = result.contributions
        inside = contributions_html(result, classifier.says_nothing(parts["text"])) if parts else ""
        alt = f"Mel spectrogram of the clip, {clip.seconds:.1f} s"
        inside += page.folded("Spectrogram", page.picture_html(draw(clip), alt))
        full = {**result.to_dict(), "contributions": parts}
        files = {"emotion.json": json.dumps(full, indent=2), "emotion.csv": as_csv(result.emotions)}
        return page.answer_html(inside + page.downloads(files))

    outputs = [line, answer, more, transcript, again]
    options = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "js": page.sends("clip"),
        **page.CLIPS,
    }
    requests = [
        ask.click(show, [audio], outputs, **options),
        again.click(show, [audio, transcript], outputs, **options),
    ]
    hidden = gr.update(visible=False)
    page.forget_answers(
        audio,
        requests,
        outputs,
        lambda: (line.value, "", "", gr.update(value=None, visible=False), hidden),
        about="clip",
        ask="ask",
    )
    # An answer that is on its way is to the text before.
    page.after_cancelling(
        transcript.input, requests, lambda: page.status("hint", CHANGED), [line], about="clip"
    )
    stop = f"(wanted) => window.ser.stopAfter(wanted, {PAPER_SECONDS}, 'clip')"
    audio.start_recording(None, short, js=stop, api_visibility="private")
    _publish(classifier)


def result_status(result: Result) -> str:
    """Return the status line of a result: what it was classified from."""
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
    return page.status("ok", line)


def result_html(result: Result, threshold: float) -> str:
    """Return the likeliest emotion, large, and a bar for each in its colour."""
    best, *others = result.emotions
    remark = ""
    name, score = page.escaped(best["label"]), f"{best['score']:.0%}"
    if result.unsure(threshold):
        remark = f"No emotion reaches {threshold:.0%}; the likeliest is {name} with {score}."
        name, score = UNSURE, ""
    elif others and best["score"] - others[0]["score"] < CLOSE:
        remark = f"Close call: {page.escaped(others[0]['label'])} is nearly as likely."
    bars = "".join(
        f"<li><span>{page.escaped(one['label'])}</span>{page.bar(one['score'], one['label'])}</li>"
        for one in result.emotions
    )
    return (
        f'<p class="best"><strong>{name}</strong> {score}</p>'
        + (f'<p class="remark">{remark}</p>' if remark else "")
        + f'<ul class="bars" aria-label="Probability of each emotion">{bars}</ul>'
    )


def contributions_html(result: Result, empty: bool) -> str:
    """Say what decided, and show the probabilities of voice and words, folded.

    Words that say nothing about the emotion have no column, unless they have changed the result.

    Args:
        result: with its contributions.
        empty: whether the words say nothing about the emotion.
    """
    parts = result.contributions
    columns = {"voice": parts["audio"]}
    changed = likeliest(parts["audio"]) != likeliest(parts["fused"])
    if parts["text"] is not None and (changed or not empty):
        columns["words"] = parts["text"]
    if parts["text"] is not None:
        columns["both"] = parts["fused"]
    rows = [
        [
            page.label_html(one["label"]),
            *(page.bar(shares[one["label"]], one["label"]) for shares in columns.values()),
        ]
        for one in result.emotions
    ]
    table = page.table(["emotion", *columns], rows, caption="What voice and words say")
    return page.folded(decided_by(parts, empty), table)


def decided_by(parts: dict[str, Any], empty: bool) -> str:
    """Say in plain words what decided the result.

    Args:
        parts: contributions, as the pipeline returns them.
        empty: whether the words say nothing about the emotion.
    """
    if parts["text"] is None:
        return "There are no words: the voice decided."
    voice, words, both = (likeliest(parts[key]) for key in ("audio", "text", "fused"))
    if empty and both == voice:
        return "The voice decided; the words say nothing about the emotion."
    if parts["moved"]["text"] < LITTLE and both == voice:
        return "The voice decided almost everything."
    if parts["moved"]["audio"] < LITTLE and both == words:
        return "The words decided almost everything."
    if voice == words == both:
        return "Voice and words agree."
    if both == voice:
        return f"The voice decided; the words alone would rather be {words}."
    if both == words:
        return f"The words decided; the voice alone would rather be {voice}."
    return f"Voice and words decided together; the voice alone would rather be {voice}."


def likeliest(scores: dict[str, float]) -> str:
    """Return the label with the highest probability."""
    return max(scores, key=scores.get)


def _publish(classifier: Classifier) -> None:
    def classified(audio: str, text: str, *, contributions: bool) -> Result:
        words = (text or "").strip() or None
        with page.one_line_errors(), received_clip(audio, classifier) as (path, clip):
            return classifier.classify(path, clip, text=words, contributions=contributions)

    def predict(audio: str, text: str = "") -> dict[str, Any]:
        """Classify the emotion of one short clip of speech.

        Args:
            audio: the clip: a WAV, FLAC, OGG, MP3, M4A or WebM file with speech of one person.
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
            audio: the clip: a WAV, FLAC, OGG, MP3, M4A or WebM file with speech of one person.
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
