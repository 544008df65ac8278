"""The tab about the model, its limits and the visitor's clips, and the endpoint `/about`."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
from classifier import Classifier
from compare import OtherModels
from endpoints import publish
from files import KEPT_SECONDS
from huggingface_hub import ModelCard
from looks import TITLE

CARD_LETTERS = 20_000
"""A longer card is cut: the page is no place for a book."""

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
- When no emotion reaches {threshold:.0%}, the page says that it is not sure.
- Speech is looked for before anything is answered: noise and silence get no emotion from this
  project's models. A stock model knows no such check and answers for noise, too.

### What it is for, and what not
For research, teaching, and people who want to know how a recording sounds. It says how a voice
*sounds*, not what a person feels. Do not use it to judge people; in the European Union the law
forbids inferring emotions at work and in school.

### Data and licences
{licences}

### Your clips
- A clip is used for the answer and for nothing else. Its file leaves the server **when the answer
  is out**, also when the answer is an error, or when you cancel. Nothing is written about it, no
  history is kept, and answers hold no files: pictures and downloads are part of the page.
- The copy that plays, and that is sent again when you ask again, lies in your browser.
- A clip that was uploaded but never asked about is removed after {minutes} minutes, and so is
  the copy that Gradio makes of a clip written into an MCP request.

### Limits
A clip: {max_seconds:g} seconds and {max_megabytes:g} MB. A recording: {max_recording_minutes:g}
minutes. Any upload: {max_upload_megabytes:g} MB. At once: {max_clips} clips.

### From a program
```python
from gradio_client import Client, handle_file

client = Client("ADDRESS OF THIS PAGE")
client.predict(handle_file("clip.wav"), api_name="/predict")
client.predict(handle_file("clip.wav"), "No! Leave me alone!", api_name="/predict")
```
*Use via API*, at the foot of the page, lists all functions; `/gradio_api/openapi.json` describes
them to programs, and `/gradio_api/mcp/` offers them to assistants that speak MCP.
"""


def about_tab(classifier: Classifier, others: OtherModels) -> None:
    """Say what the model is, what it is not for, and what happens to a clip."""
    settings = classifier.settings
    card = None if classifier.problem else card_of(settings.model)
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
    gr.Markdown(
        ABOUT.format(
            name=classifier.name,
            labels=", ".join(classifier.labels) or "(the model is not loaded)",
            licences=licences_of(card),
            minutes=KEPT_SECONDS // 60,
            **limits,
        ),
        elem_id="about",
    )
    if card is not None:
        with gr.Accordion(f"Model card of {classifier.name}", open=False):
            gr.Markdown(card_text(card), elem_id="card")

    def about() -> dict[str, Any]:
        """Say which model answers here, and within which limits.

        Returns:
            A dict with "model", "labels", "reads_text" (whether it uses the words of a clip),
            "problem" (why it cannot answer, or null), "compare_models" (those that /compare
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

    publish(about, [], api_name="about", queue=False)


def card_of(model: str) -> ModelCard | None:
    """Return the card of a model folder or Hub id, or None where there is none to be had."""
    path = Path(model)
    try:
        if path.is_dir():
            readme = path / "README.md"
            return ModelCard(readme.read_text(encoding="utf-8")) if readme.is_file() else None
        return ModelCard.load(model)
    except (OSError, ValueError):
        return None


def licences_of(card: ModelCard | None) -> str:
    """Return in Markdown what the card's head says of licence and data."""
    if card is None:
        return "The model has no card to read them from; ask whoever made it."
    licence, data = card.data.get("license"), card.data.get("datasets")
    lines = [f"- Licence of the weights: {licence or 'not stated'}."]
    if data:
        lines.append(f"- Data: {', '.join([data] if isinstance(data, str) else data)}.")
    lines += re.findall(r"^## Training data.*?\n+(.*?)(?=^## |\Z)", card.text, re.S | re.M)[:1]
    return "\n".join(lines)


def card_text(card: ModelCard) -> str:
    """Return the card without its head and its comments."""
    text = re.sub(r"<!--.*?-->", "", card.text, flags=re.S).strip()
    return text if len(text) <= CARD_LETTERS else text[:CARD_LETTERS].rstrip() + " ..."
