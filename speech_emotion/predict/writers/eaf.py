"""ELAN: an annotation document (EAF 3.0) beside the recording it names."""

import mimetypes
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.tiers import tiers_of

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ABOUT = "Symbolic_Association"

NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def as_eaf(file: str, result: Result) -> str:
    """Return the annotation document of one recording.

    Each speaker has a tier of labels with two tiers that depend on it: ``score@SPEAKER`` and
    ``transcript@SPEAKER``.
    """
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "speech-emotion",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": XSI,
            "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )
    header = _add(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if file != "-":
        kind = mimetypes.guess_type(file)[0] or "audio/x-wav"
        url = Path(file).absolute().as_uri()
        _add(header, "MEDIA_DESCRIPTOR", MEDIA_URL=url, MIME_TYPE=kind)
    times = _add(document, "TIME_ORDER")
    numbers = count(1)
    for name, parts in tiers_of(result).items() or [("emotion", [])]:
        who = (
            {"PARTICIPANT": _plain(parts[0]["speaker"])}
            if parts and parts[0].get("speaker")
            else {}
        )
        tier = _add(document, "TIER", LINGUISTIC_TYPE_REF="emotion", TIER_ID=_plain(name), **who)
        ids = []
        for part in parts:
            slots = [f"ts{len(times) + 1}", f"ts{len(times) + 2}"]
            for slot, key in zip(slots, ("start", "end"), strict=True):
                value = str(round(part[key] * 1000))
                _add(times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=value)
            ids.append(f"a{next(numbers)}")
            annotation = _add(
                _add(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=ids[-1],
                TIME_SLOT_REF1=slots[0],
                TIME_SLOT_REF2=slots[1],
            )
            _add(annotation, "ANNOTATION_VALUE").text = _plain(part["label"])
        scores = zip(ids, [f"{part['score']:.3f}" for part in parts], strict=True)
        texts = zip(ids, [part["transcript"] or "" for part in parts], strict=True)
        for what, values in (("score", scores), ("transcript", texts)):
            _add_about(document, what, name, who, values, numbers)
    _add(
        document,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="emotion",
        TIME_ALIGNABLE="true",
    )
    _add(
        document,
        "LINGUISTIC_TYPE",
        CONSTRAINTS=ABOUT,
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="about",
        TIME_ALIGNABLE="false",
    )
    says = "1-1 association with a parent annotation"
    _add(document, "CONSTRAINT", DESCRIPTION=says, STEREOTYPE=ABOUT)
    ElementTree.indent(document)
    text = ElementTree.tostring(document, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_about(
    document: ElementTree.Element,
    what: str,
    name: str,
    who: dict[str, str],
    values: Iterable[tuple[str, str]],
    numbers: "count[int]",
) -> None:
    """Add a tier that depends on another one, with a value for some of its annotations."""
    tier = _add(
        document,
        "TIER",
        LINGUISTIC_TYPE_REF="about",
        PARENT_REF=_plain(name),
        TIER_ID=_plain(f"{what}@{name}"),
        **who,
    )
    for parent, value in values:
        if value:
            annotation = _add(
                _add(tier, "ANNOTATION"),
                "REF_ANNOTATION",
                ANNOTATION_ID=f"a{next(numbers)}",
                ANNOTATION_REF=parent,
            )
            _add(annotation, "ANNOTATION_VALUE").text = _plain(value)


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _plain(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return NOT_XML.sub("", text)
