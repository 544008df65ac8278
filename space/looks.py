"""How the page looks: theme, colours, and the pieces of HTML that the tabs share.

Answers are HTML with everything in it, pictures and downloads as well, so that no answer leaves a
file on the server.
"""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from classifier import HERE, Answer
from PIL import Image

TITLE = "Speech emotion classifier"
CSS = (HERE / "page.css").read_text(encoding="utf-8")
HEAD = f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>"

COLOURS = {
    "angry": "#dc2626",
    "calm": "#0d9488",
    "disgust": "#65a30d",
    "fearful": "#9333ea",
    "happy": "#f59e0b",
    "sad": "#2563eb",
    "surprised": "#ec4899",
}
OTHER_COLOUR = "#9ca3af"


def theme() -> gr.themes.Base:
    """Return the theme: nothing is fetched from outside, and labels are dark enough to read."""
    fonts = ["system-ui", "sans-serif"]
    return gr.themes.Soft(
        primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(
        background_fill_primary="*neutral_50",  # Soft's own, which `set` would forget
        # The theme's own label and hint colours are too pale to read with ease.
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )


def status(kind: str, line: str, *, share: float | None = None) -> str:
    """Return the status line as HTML; kind is ok, hint, unsure or error; share is 0 to 1."""
    role = "alert" if kind == "error" else "status"
    bar = "" if share is None else f'<progress max="1" value="{share:.3f}">{share:.0%}</progress>'
    return f'<p class="{kind}" role="{role}">{html.escape(line)}{bar}</p>'


def describe(answer: Answer, threshold: float) -> str:
    """Return the status line of an answer: what it rests on, and whether it is a guess."""
    sources = "the audio alone"
    if "text" in answer.modalities:
        own_words = answer.transcript_source == "given"
        sources = "the audio and " + ("your text" if own_words else "its transcript")
    line = f"Answered from {sources} in {answer.elapsed_seconds:.2f} s"
    line += f" ({answer.clip_seconds:.1f} s of audio)."
    if answer.clip_seconds < 1:
        line += " The clip is under a second long: take the answer with care."
    if answer.note:
        line += f" No transcript: {answer.note.rstrip('.')}."
    if not answer.unsure(threshold):
        return status("ok", line)
    best = answer.emotions[0]
    return status(
        "unsure",
        f"Not sure: no emotion reaches {threshold:.0%}, the likeliest is {best['label']} with "
        f"{best['score']:.0%}. {line}",
    )


def contributions_html(answer: Answer) -> str:
    """Show what the voice alone, the words alone and both say, and how far each moved it."""
    parts = answer.contributions
    if parts is None:
        return ""
    if parts["text"] is None:
        line = "There are no words, so the whole answer comes from the voice."
        return answer_html(f"<p>{line}</p>")
    heads = ["emotion", "voice alone", "words alone", "together"]
    shares = [parts["audio"], parts["text"], parts["fused"]]
    rows = [
        [label_html(row["label"]), *(_bar(share[row["label"]]) for share in shares)]
        for row in answer.emotions
    ]
    moved = parts["moved"]
    line = (
        f"Without the voice {moved['audio']:.0%} of the probability would lie elsewhere, without "
        f"the words {moved['text']:.0%}. Most models never learnt from words without a voice, so "
        "take what the words alone say with care."
    )
    return answer_html(f"<p>{line}</p>" + table(heads, rows, caption="What moved the answer"))


def _bar(share: float) -> str:
    bar = f'<span class="bar" aria-hidden="true"><i style="width:{share:.1%}"></i></span>'
    return f"{bar}{share:.0%}"


def label_html(label: str, score: float | None = None) -> str:
    """Return an emotion with its colour, and its probability if it has one."""
    colour = COLOURS.get(label, OTHER_COLOUR)
    dot = f'<span class="dot" aria-hidden="true" style="background:{colour}"></span>'
    return f"{dot}{html.escape(label)}" + ("" if score is None else f" {score:.0%}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """Return a table that scrolls by itself; the cells are HTML, the first of a row is its name."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    return table_html(caption, head, body)


def table_html(caption: str, head: str, body: str) -> str:
    """Return a scrolling table of ready-made cells and rows."""
    name = html.escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<caption>{name}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def downloads(files: dict[str, str]) -> str:
    """Return links that save texts, by file name, without a file on the server."""
    kinds = {
        ".csv": "text/csv",
        ".json": "application/json",
        ".md": "text/markdown",
        ".srt": "application/x-subrip",
    }
    links = []
    for name, text in files.items():
        kind = kinds[Path(name).suffix]
        data = base64.b64encode(text.encode()).decode()
        address = f"data:{kind};charset=utf-8;base64,{data}"
        links.append(f'<a download="{name}" href="{address}">Download {name}</a>')
    return f'<p class="downloads">{"".join(links)}</p>'


def picture_html(picture: np.ndarray, alt: str) -> str:
    """Return a picture, uint8 (height, width, 4), as HTML."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return answer_html(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">')


def answer_html(inside: str, kind: str = "") -> str:
    """Wrap HTML, so that the style sheet finds it."""
    return f'<div class="answer {kind}">{inside}</div>'


def escaped(value: Any) -> str:
    """Return a value as text that is safe inside HTML; nothing for None."""
    return "" if value is None else html.escape(str(value))
