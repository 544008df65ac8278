"""The options of a call of the pipeline, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .timeline import SMOOTHING, WINDOW_S, Timeline


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a call asks for; :class:`SpeechTextEmotionPipeline` says what each means.

    Raises:
        ValueError: a value outside its range, or one that needs another option.
    """

    top_k: int | None = None
    return_transcript: bool = False
    return_segments: bool = False
    window_s: float | None = None
    hop_s: float | None = None
    smoothing: int | None = None
    contributions: bool = False
    labels: Mapping[str, str | None] | Sequence[str] | str | None = None
    abstain_below: float | None = None
    clean: bool = True
    check_speech: bool = True

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise ValueError(f"abstain_below must be 0 to 1, not {self.abstain_below}")
        for name in ("window_s", "hop_s", "smoothing"):
            if getattr(self, name) is not None and not self.return_segments:
                raise ValueError(f"{name} needs return_segments=True")
        if self.return_segments:
            _ = self.timeline

    @property
    def timeline(self) -> Timeline:
        """How a recording is cut into windows."""
        return Timeline(
            window_s=WINDOW_S if self.window_s is None else self.window_s,
            hop_s=self.hop_s,
            smoothing=SMOOTHING if self.smoothing is None else self.smoothing,
        )

    @property
    def alone(self) -> tuple[str, ...]:
        """Modalities that are asked for on their own as well."""
        return ("audio", "text") if self.contributions else ()

    @property
    def plain(self) -> bool:
        """Whether the answer is the task's own ``[{"label", "score"}]``."""
        return not (
            self.return_transcript
            or self.return_segments
            or self.contributions
            or self.abstain_below is not None
        )
