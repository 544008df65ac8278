"""What the server answers, as dataclasses from which FastAPI writes the schema."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Emotion:
    """A label and its probability."""

    label: str
    score: float


@dataclass
class Segment:
    """Neighbouring windows of one label; times in seconds. Without speech there is no score."""

    start: float
    end: float
    label: str | None
    score: float | None
    transcript: str | None = None
    speaker: str | None = None


@dataclass
class Window:
    """A window of a recording."""

    start: float
    end: float
    label: str | None
    score: float | None
    scores: dict[str, float] | None = None
    speaker: str | None = None


@dataclass
class Answer:
    """What the pipeline returns; which keys there are depends on the options."""

    emotions: list[Emotion]
    transcript: str | None = None
    transcript_source: str | None = None
    transcript_confidence: float | None = None
    note: str | None = None
    modalities: list[str] | None = None
    label: str | None = None
    abstained: bool | None = None
    contributions: dict[str, Any] | None = None
    seconds: float | None = None
    segments: list[Segment] | None = None
    windows: list[Window] | None = None
    speakers: dict[str, Any] | None = None


@dataclass
class Error:
    """Why there is no answer, in one line."""

    error: str


@dataclass
class ModelFacts:
    """The model that answers."""

    id: str
    labels: list[str]
    reads_text: bool
    transcriber: str | None
    licence: str


@dataclass
class Models:
    """The models of this server."""

    data: list[ModelFacts]


@dataclass
class Health:
    """Whether the server takes requests, and how many it has."""

    status: str
    waiting: int
