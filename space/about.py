"""The tab about the model, its limits and privacy, and the endpoint `/about`."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
import page
from classifier import Classifier
from compare import OtherModels
from huggingface_hub import ModelCard
from uploads import KEPT_SECONDS

CARD_CHARACTERS = 20_000
"""A longer card is cut."""

INTRO = f"""# {page.TITLE}
{page.DESCRIPTION}
"""

ABOUT = """## What it does
The model **{name}** classifies the audio of a clip together with its transcript, if it has one.
The result is a probability for each of: {labels}.

## What to expect
- This project's models were trained on **acted** English speech. Results for spontaneous or noisy
  speech and for other languages are less reliable, and a high probability is not certainty.
- If no emotion reaches {threshold:.0%}, the result is "unsure".
- This project's models refuse clips of noise or silence. Stock models have no such check and
  classify noise as well.

## Intended use
Research, teaching, and personal use. The model classifies how a voice *sounds*, not what a person
feels. Do not use it to judge people. In the European Union the law forbids inferring emotions at
work and in school.

## Data and licences
{licences}

## Your clips
- A clip is used for its result only. Its file is removed from the server **at the end of the
  request**, also if the request fails or is cancelled. There are no logs of clips and no history.
  Pictures and downloads are part of the page.
- The copy that plays, and that is sent again when you click again, is in your browser.
- A clip that was uploaded but not used is removed after {minutes} minutes, and so is the copy that
  Gradio makes of a clip in an MCP request.

## Limits
A clip: {max_seconds:g} seconds and {max_megabytes:g} MB. A recording: {max_recording_minutes:g}
minutes. Any upload: {max_upload_megabytes:g} MB. In one request: {max_clips} clips.

## From a program
```text
from gradio_client import Client, handle_file

client = Client("ADDRESS OF THIS PAGE")
client.predict(handle_file("clip.wav"), api_name="/predict")
client.predict(handle_file("clip.wav"), "No! Leave me alone!", api_name="/predict")
```
`curl -F file=@clip.wav ADDRESS/v1/predict` answers in one call where the server has the library
of this project ([its options](docs)). *Use via API* at the end of the page lists all functions,
`/gradio_api/openapi.json` is their OpenAPI description, and `/gradio_api/mcp/` has them as MCP
tools.
"""


def about_tab(classifier: Classifier, others: OtherModels) -> None:
    """Build the tab: model, intended use, licences, privacy, limits."""
    settings = classifier.settings
    card = card_of(classifier.model)
    limits = {
        name: getattr(settings, name)
        for name in (
            "threshold",
            "max_seconds",
            "max_megabytes",
            "max_recording_minutes",
            "max_upload_megabytes",
            "max_clips",
        )
    }

    def text(labels: str) -> str:
        return ABOUT.format(
            name=classifier.name,
            labels=labels,
            licences=licences_of(card),
            minutes=KEPT_SECONDS // 60,
            **limits,
        )

    shown = gr.Markdown(text("(the model is being loaded)"), elem_id="about")
    page.when_loaded(
        shown, lambda: text(", ".join(classifier.labels) or "(the model is not loaded)")
    )
    if card is not None:
        with gr.Accordion(f"Model card of {classifier.name}", open=False):
            gr.Markdown(card_text(card), elem_id="card")

    def about() -> dict[str, Any]:
        """Return the model and the limits of this server.

        Returns:
            A dict with "model", "labels", "reads_text" (whether it uses the text of a clip),
            "problem" (why it is not loaded, or null), "compare_models" (models that /compare
            takes), "threshold", "max_seconds", "max_megabytes", "max_recording_minutes",
            "max_upload_megabytes" and "max_clips".
        """
        return {
            "model": classifier.name,
            "labels": classifier.labels,
            "reads_text": classifier.supports_text,
            "problem": classifier.problem,
            "compare_models": others.names,
            **limits,
        }

    page.publish(about, [], api_name="about", concurrency_limit=None)


def card_of(model: str) -> ModelCard | None:
    """Return the card of a model folder or Hub id, or None if there is none."""
    folder = Path(model)
    try:
        return ModelCard.load(folder / "README.md" if folder.is_dir() else model)
    except (OSError, ValueError):
        return None


def licences_of(card: ModelCard | None) -> str:
    """Return licence and data of a card, as Markdown."""
    if card is None:
        return "The model has no card. Ask its authors."
    licence, data = card.data.get("license"), card.data.get("datasets")
    lines = [f"- Licence of the weights: {licence or 'not stated'}."]
    if data:
        lines.append(f"- Data: {', '.join([data] if isinstance(data, str) else data)}.")
    lines += re.findall(r"^## Training data.*?\n+(.*?)(?=^## |\Z)", card.text, re.S | re.M)[:1]
    return "\n".join(lines)


def card_text(card: ModelCard) -> str:
    """Return the text of a card, without comments."""
    text = re.sub(r"<!--.*?-->", "", card.text, flags=re.S).strip()
    return text if len(text) <= CARD_CHARACTERS else text[:CARD_CHARACTERS].rstrip() + " ..."
