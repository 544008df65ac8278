"""Rows of the pipeline as text."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

BAR_WIDTH = 40
UNSURE = "unsure"
NO_SPEECH = "no speech"


def as_json(file: str, row: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps({"file": file, **row}, ensure_ascii=False) + "\n"


def as_chart(file: str, row: dict[str, Any]) -> str:
    """Bars for one clip, or the segments of a recording."""
    lines = [file]
    for segment in row.get("segments", ()):
        times = f"{_clock(segment['start'])} - {_clock(segment['end'])}"
        lines.append(f"  {times}  {_caption(segment)}  {segment['transcript'] or ''}".rstrip())
    if "segments" in row:
        lines.append("  as a whole:")
    for emotion in row["emotions"]:
        bar = "█" * round(emotion["score"] * BAR_WIDTH)
        lines.append(f"  {emotion['label']:<10}{emotion['score']:6.1%}  {bar}")
    if row.get("abstained"):
        lines.append(f"  {UNSURE}: no emotion is likely enough")
    if row["transcript"]:
        lines.append(f"  transcript: {row['transcript']} ({row['transcript_source']})")
    else:
        lines.append(f"  no transcript: {row['note']}")
    if row.get("contributions"):
        moved = row["contributions"]["moved"]
        lines.append(f"  moved by the audio {moved['audio']:.0%}, the text {moved['text']:.0%}")
    lines.append(f"  from {' and '.join(row['modalities'])}")
    return "\n".join(lines) + "\n"


def as_line(file: str, row: dict[str, Any]) -> str:
    """One line a clip: the likeliest emotion, and what was said."""
    best = row["emotions"][0] if row["emotions"] else {"label": NO_SPEECH, "score": None}
    label = UNSURE if row.get("abstained") and row["emotions"] else best["label"]
    return (
        f"{_caption({**best, 'label': label}):<16}  {file}  {row['transcript'] or ''}".rstrip()
        + "\n"
    )


def csv_columns(labels: Sequence[str], *, segments: bool, windows: bool, shares: bool) -> list[str]:
    """The columns of a table: a row a clip, a segment or a window."""
    scores = [] if segments and not windows else list(labels)
    moved = [f"{kind}_{label}" for kind in ("audio", "text") for label in labels]
    return [
        "file",
        *(["start", "end"] if segments else []),
        *("label", "score"),
        *scores,
        *([*moved, "moved_audio", "moved_text"] if shares and not segments else []),
        *(["transcript"] if not windows else []),
        *(["note"] if not segments else []),
        "error",
    ]


def as_csv(file: str, row: dict[str, Any], columns: Sequence[str]) -> str:
    """The lines of one recording in a table with these columns."""
    return csv_lines([{"file": file, **line} for line in _table(row, columns)], columns)


def csv_lines(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Write rows without a header; what is not a column is left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()


def _table(row: dict[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    if "error" in row:
        return [row]
    if "start" in columns:
        lines = row["segments"] if "transcript" in columns else row["windows"]
        return [{**line, **(line.get("scores") or {})} for line in lines]
    scores = {emotion["label"]: emotion["score"] for emotion in row["emotions"]}
    best = row["emotions"][0] if row["emotions"] else {"label": NO_SPEECH, "score": None}
    if row.get("abstained") and row["emotions"]:
        best = {**best, "label": None}
    shares = {}
    if row.get("contributions"):
        parts = row["contributions"]
        for kind in ("audio", "text"):
            named = (parts[kind] or {}).items()
            shares |= {f"{kind}_{label}": score for label, score in named}
            shares[f"moved_{kind}"] = parts["moved"][kind]
    return [{**best, **scores, **shares, "transcript": row["transcript"], "note": row["note"]}]


def as_srt(row: dict[str, Any]) -> str:
    """Subtitles as players read them, without the stretches in which nobody speaks."""
    blocks = [
        f"{number}\n{_clock(segment['start'], comma=True)} --> "
        f"{_clock(segment['end'], comma=True)}\n{_subtitle(segment)}\n"
        for number, segment in enumerate(_spoken(row), start=1)
    ]
    return "\n".join(blocks)


def as_vtt(row: dict[str, Any]) -> str:
    """Subtitles as browsers read them."""
    blocks = [
        f"{_clock(segment['start'])} --> {_clock(segment['end'])}\n{_subtitle(segment)}\n"
        for segment in _spoken(row)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def as_audacity(row: dict[str, Any]) -> str:
    """A label track of Audacity: start, end and label with tabs between them."""
    return "".join(
        f"{segment['start']:.3f}\t{segment['end']:.3f}\t{_caption(segment)}\n"
        for segment in row["segments"]
    )


def _spoken(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [segment for segment in row["segments"] if segment["label"] != NO_SPEECH]


def _subtitle(segment: dict[str, Any]) -> str:
    # An arrow in a transcript would be read as a time.
    text = (segment["transcript"] or "").replace("-->", "->")
    return _caption(segment) + (f"\n{text}" if text else "")


def _caption(segment: dict[str, Any]) -> str:
    if segment["score"] is None:
        return segment["label"]
    return f"{segment['label'] or UNSURE} {segment['score']:.0%}"


def _clock(seconds: float, *, comma: bool = False) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
    return text.replace(".", ",") if comma else text
