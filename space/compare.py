"""The tab that compares two models on one clip, and the endpoint `/compare`."""

import itertools
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import Classifier, Result
from clips import ClipError
from exports import as_csv
from lock import Request, in_steps
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
        self._listed: dict[str, str] = {}
        for model in settings.compare_models:
            # Folders of different models may have one name.
            taken = {shown_name(settings.model), *self._listed}
            self._listed[free_name(shown_name(model), taken)] = model
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
                    self._loaded[name] = Classifier(
                        self._settings, model=self._listed[name], name=name
                    )
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
        if name == self._settings.model:
            raise ClipError("This is the model of this page: choose another one.")
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
        said = "Asking both models."
        yield page.status("hint", said, busy=True), ""
        try:
            for step in in_steps(partial(both, audio, name)):
                if isinstance(step, Request):
                    yield page.working(step, said), ""
        except ClipError as error:
            yield page.status("error", str(error)), ""
            return
        pair, found = step, compared(step)
        summary = "The models agree." if found["agree"] else "The models do not agree."
        files = {
            "compared.json": json.dumps(found, indent=2),
            "compared.csv": as_csv(scores_of(pair)),
        }
        yield page.status("ok", summary), compared_html(pair) + page.downloads(files)

    def compare(audio: str, model: str) -> dict[str, Any]:
        """Classify the emotion of one short clip of speech with two models.

        Args:
            audio: the clip: a WAV, FLAC, OGG, MP3, M4A or WebM file with speech of one person.
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
        page.forget_answers(
            field, [asked], [line, answer], lambda: (line.value, ""), about="compare-clip"
        )
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


def scores_of(pair: list[tuple[Classifier, Result]]) -> list[dict[str, Any]]:
    """Return a row for each emotion, in the order of the first model: its probability by model."""
    scores = {
        model.name: {one["label"]: one["score"] for one in result.emotions}
        for model, result in pair
    }
    labels = dict.fromkeys(label for one in scores.values() for label in one)
    return [{"emotion": x, **{name: s.get(x) for name, s in scores.items()}} for x in labels]


def compared_html(pair: list[tuple[Classifier, Result]]) -> str:
    """Return two results as a table."""
    rows = [
        [page.label_html(label), *("-" if s is None else page.bar(s, label) for s in scores)]
        for label, *scores in (one.values() for one in scores_of(pair))
    ]
    texts = (page.escaped(result.transcript) or "-" for _, result in pair)
    rows.append(["words", *(f'<span class="words">{text}</span>' for text in texts)])
    rows.append(["seconds", *(f"{result.elapsed_seconds:.2f}" for _, result in pair)])
    heads = ["emotion", *(model.name for model, _ in pair)]
    return page.answer_html(page.table(heads, rows, caption="Two models on one clip"))


def free_name(name: str, taken: set[str]) -> str:
    """Return a name that is not taken: itself, or with a number.

    >>> free_name("mini", {"mini", "mini (2)"})
    'mini (3)'
    """
    names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
    return next(free for free in names if free not in taken)
