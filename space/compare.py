"""The tab that asks two models about one clip, and the endpoint `/compare`."""

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from classifier import Answer, Classifier, Settings, shown_name
from clips import ClipError
from endpoints import CLIPS, one_line_errors, publish, sends
from looks import answer_html, escaped, label_html, status, table
from one_clip import clip_field, taken_clip

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
START = "Upload or record a clip, and choose the model to compare with."


class OtherModels:
    """The models that a clip may be compared with, each loaded when it is first asked for.

    Those that the operator names stay loaded. Of those that visitors name, where they may, one
    does; code that travels with it never runs, and only safetensors are read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._named = {shown_name(model): model for model in settings.compare_models}
        self._loaded: dict[str, Classifier] = {}
        self._visitors: Classifier | None = None
        self._loading = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Those that the operator names, as visitors see them."""
        return list(self._named)

    def get(self, name: str | None) -> Classifier:
        """Return a loaded model.

        Raises:
            ClipError: there is no such model, visitors may not name one, or it cannot be loaded.
        """
        name = (name or "").strip()
        if not name:
            raise ClipError("Choose a model to compare with.")
        with self._loading:
            if name in self._named:
                if name not in self._loaded:
                    self._loaded[name] = Classifier(self._settings_for(self._named[name]))
                other = self._loaded[name]
            else:
                other = self._visitors_model(name)
        if other.problem:
            raise ClipError(
                other.problem.removesuffix(" Set SER_MODEL to a model's folder or Hub id.")
            )
        return other

    def _visitors_model(self, name: str) -> Classifier:
        if not self._settings.compare_any:
            known = ", ".join(self.names)
            raise ClipError(f"There is no model of that name here to compare with, but: {known}.")
        # The path of a folder on the server may look like a Hub id.
        if not HUB_ID.fullmatch(name) or Path(name).exists():
            raise ClipError("A model of the Hub has a name like owner/model.")
        if self._visitors is None or self._visitors.settings.model != name:
            self._visitors = None
            self._visitors = Classifier(self._settings_for(name), trusted=False)
        return self._visitors

    def _settings_for(self, model: str) -> Settings:
        # The transcriber is for the page's own model: others may not know the option.
        return replace(self._settings, model=model, transcriber=None)


def compare_tab(classifier: Classifier, others: OtherModels) -> None:
    """Lay out the tab for two models."""
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
            ask = gr.Button("Ask both", variant="primary", elem_id="compare-ask")
        with gr.Column(min_width=320):
            start = status("error", classifier.problem) if classifier.problem else None
            line = gr.HTML(
                start or status("hint", START), elem_id="compare-status", elem_classes="status"
            )
            answer = gr.HTML(elem_id="compare-answer")

    def both(audio: str | None, name: str | None) -> list[tuple[Classifier, Answer]]:
        with taken_clip(audio, classifier.settings) as (path, clip):
            models = [classifier, others.get(name)]
            return [(model, model.answer(path, clip)) for model in models]

    def show(audio: str | None, name: str | None) -> tuple[str, str]:
        """Show both answers side by side, or say in a line why not."""
        try:
            pair = both(audio, name)
        except ClipError as error:
            return status("error", str(error)), ""
        same = len({answer.emotions[0]["label"] for _, answer in pair}) == 1
        said = "The models agree." if same else "The models do not agree."
        return status("ok", said), compared_html(pair)

    def compare(audio: str, model: str) -> dict[str, Any]:
        """Ask two models for the emotion of one short clip of speech.

        Args:
            audio: the clip: a WAV, FLAC, OGG or MP3 file with speech of one person.
            model: the second model, one of those that /about lists; a Hub id like owner/model
                where the server allows it. The first is the server's own.

        Returns:
            A dict with "agree" (whether the likeliest emotion is the same) and "answers", the two
            answers in the form of /predict, each with "model", its name.
        """
        with one_line_errors():
            pair = both(audio, model)
        answers = [{"model": other.name, **answer.to_dict()} for other, answer in pair]
        best = {answer["emotions"][0]["label"] for answer in answers}
        return {"agree": len(best) == 1, "answers": answers}

    page = {"api_visibility": "private", "show_progress_on": [answer], "js": sends("compare")}
    ask.click(show, [audio, choice], [line, answer], **page, **CLIPS)
    inputs = [
        gr.Audio(type="filepath", label="audio", visible=False),
        gr.Textbox(label="model", visible=False),
    ]
    publish(compare, inputs, api_name="compare", **CLIPS)


def compared_html(pair: list[tuple[Classifier, Answer]]) -> str:
    """Return two answers as a table, the emotions in the order of the first model."""
    scores = [{row["label"]: row["score"] for row in answer.emotions} for _, answer in pair]
    labels = list(dict.fromkeys(label for row in scores for label in row))
    rows = [
        [label_html(label), *("-" if label not in s else f"{s[label]:.0%}" for s in scores)]
        for label in labels
    ]
    rows.append(["words", *(escaped(answer.transcript) or "-" for _, answer in pair)])
    rows.append(["seconds", *(f"{answer.elapsed_seconds:.2f}" for _, answer in pair)])
    heads = ["emotion", *(model.name for model, _ in pair)]
    return answer_html(table(heads, rows, caption="Two models on one clip"))
