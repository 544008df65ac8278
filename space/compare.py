"""The tab that compares two models on one clip, and the endpoint `/compare`."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import Classifier, Result
from clips import ClipError
from one_clip import clip_field, received_clip
from settings import Settings, shown_name

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
START = "Upload or record a clip, and choose the model to compare with."


class OtherModels:
    """Models that a clip may be compared with, each loaded at its first use.

    Models that the owner has listed stay loaded. Of the models that visitors name, the last one
    does; its code never runs, and its weights are read from safetensors only.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listed = {shown_name(model): model for model in settings.compare_models}
        self._loaded: dict[str, Classifier] = {}
        self._visitors: Classifier | None = None
        self._loading = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the listed models, as visitors see them."""
        return list(self._listed)

    def get(self, name: str | None) -> Classifier:
        """Return a loaded model.

        Raises:
            ClipError: there is no such model, visitors may not name one, or it cannot be loaded.
        """
        name = (name or "").strip()
        if not name:
            raise ClipError("Choose a model to compare with.")
        with self._loading:
            if name in self._listed:
                if name not in self._loaded:
                    self._loaded[name] = Classifier(self._settings, model=self._listed[name])
                other = self._loaded[name]
            else:
                other = self._of_visitors(name)
        if other.problem:
            raise ClipError(other.problem)
        return other

    def _of_visitors(self, name: str) -> Classifier:
        if not self._settings.compare_any:
            known = ", ".join(self.names)
            raise ClipError(f"There is no model of that name here; choose one of: {known}.")
        # A path of a folder on the server may look like a Hub id.
        if not HUB_ID.fullmatch(name) or Path(name).exists():
            raise ClipError("A model of the Hub has a name like owner/model.")
        if self._visitors is None or self._visitors.model != name:
            self._visitors = None  # frees its memory before the next one is loaded
            self._visitors = Classifier(self._settings, model=name)
        return self._visitors


def compare_tab(classifier: Classifier, others: OtherModels) -> None:
    """Build the tab for two models."""
    with gr.Row():
        with gr.Column(min_width=320):
            audio = clip_field("compare-clip")
            free = classifier.settings.compare_any
            names = others.names
            choice = gr.Dropdown(
                names,
                value=names[0] if names else None,
                allow_custom_value=free,
                label=f"Compare {classifier.name} with",
                info="Any audio classification model of the Hub, as owner/model." if free else None,
                elem_id="compare-model",
            )
            ask = gr.Button("Classify with both", variant="primary", elem_id="compare-ask")
        with gr.Column(min_width=320):
            line = page.status_field(classifier, START, "compare-status")
            answer = gr.HTML(elem_id="compare-answer", padding=False)

    def both(audio: str | None, name: str | None) -> list[tuple[Classifier, Result]]:
        with received_clip(audio, classifier) as (path, clip):
            models = [classifier, others.get(name)]
            return [(model, model.classify(path, clip)) for model in models]

    def show(audio: str | None, name: str | None) -> Iterator[tuple[str, str]]:
        """Show both results side by side, or one line with the error."""
        yield page.status("hint", "Asking both models.", busy=True), ""
        try:
            pair = both(audio, name)
        except ClipError as error:
            yield page.status("error", str(error)), ""
            return
        found = compared(pair)
        summary = "The models agree." if found["agree"] else "The models do not agree."
        files = {"compared.json": json.dumps(found, indent=2)}
        yield page.status("ok", summary), compared_html(pair) + page.downloads(files)

    def compare(audio: str, model: str) -> dict[str, Any]:
        """Classify the emotion of one short clip of speech with two models.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            model: the second model: one of those that /about lists, or a Hub id like owner/model
                if the server allows it. The first is the server's own.

        Returns:
            A dict with "agree" (whether the likeliest emotion is the same) and "answers", the two
            results as /predict returns them, each with the name of its "model".
        """
        with page.one_line_errors():
            return compared(both(audio, model))

    options = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "js": page.sends("compare-clip"),
    }
    asked = ask.click(show, [audio, choice], [line, answer], **options, **page.CLIPS)
    for field in (audio, choice):
        page.forget_answers(field, [asked], [line, answer], lambda: (line.value, ""))
    inputs = [
        gr.Audio(type="filepath", label="audio", visible=False),
        gr.Textbox(label="model", visible=False),
    ]
    page.publish(compare, inputs, api_name="compare", **page.CLIPS)


def compared(pair: list[tuple[Classifier, Result]]) -> dict[str, Any]:
    """Return two results as `/compare` does."""
    answers = [{"model": model.name, **result.to_dict()} for model, result in pair]
    best = {result.emotions[0]["label"] for _, result in pair}
    return {"agree": len(best) == 1, "answers": answers}


def compared_html(pair: list[tuple[Classifier, Result]]) -> str:
    """Return two results as a table, the emotions in the order of the first model."""
    scores = [{one["label"]: one["score"] for one in result.emotions} for _, result in pair]
    labels = list(dict.fromkeys(label for one in scores for label in one))
    rows = [
        [
            page.label_html(label),
            *("-" if label not in s else page.bar(s[label], label) for s in scores),
        ]
        for label in labels
    ]
    rows.append(["words", *(page.escaped(result.transcript) or "-" for _, result in pair)])
    rows.append(["seconds", *(f"{result.elapsed_seconds:.2f}" for _, result in pair)])
    names = [model.name for model, _ in pair]
    if names[0] == names[1]:
        names = [f"{names[0]}, this Space's", f"{names[1]}, the other"]
    heads = ["emotion", *names]
    return page.answer_html(page.table(heads, rows, caption="Two models on one clip"))
