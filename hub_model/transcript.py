"""The interface of transcribers, guards against loops, and a cache of transcripts on disk.

A transcriber has three methods: ``load`` loads its weights or raises
:class:`TranscriberUnavailable`, ``transcribe`` turns clips into transcripts, ``transcribe_words``
does so with the times of the words, for a recording that is transcribed chunk by chunk.
"""

import json
import math
import os
import tempfile
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .audio import SAMPLING_RATE, audio_hash

FORMAT = 1
"""Part of every key: goes up when what a file holds changes."""

TOKENS_A_SECOND, TOKENS_AT_LEAST = 12, 24
"""Most tokens of a transcript, by the length of its clip: fast English speech has 5 a second, and
languages that Whisper spells in small pieces have twice as many."""

COMPRESSION_LIMIT, COMPRESSION_BYTES = 2.4, 80
"""A text of so many bytes that zlib makes smaller by more than this factor repeats itself; the
limit is that of openai-whisper."""

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""With times of words, Whisper's tokens are drawn at the next temperature where those of the one
before repeat themselves or are unlikely, as in openai-whisper."""

CHUNK_S = 30
"""Seconds that Whisper reads at once."""

NO_WORD_TIMES = "this transcriber gives no times of words, so every window is transcribed by itself"


@dataclass(frozen=True)
class Word:
    """A word of a transcript.

    Args:
        start, end: in seconds.
        text: with the space before it, where the language has one.
        confidence: probability, 0 to 1, of the word or of the transcript that it is from.
    """

    start: float
    end: float
    text: str
    confidence: float | None = None

    @property
    def middle(self) -> float:
        """The time that decides over the window and the segment of a word."""
        return (self.start + self.end) / 2


def text_of(words: Sequence[Word]) -> str:
    """Join words to a text."""
    return "".join(word.text for word in words).strip()


@dataclass(frozen=True)
class Transcript:
    """The transcript of one clip.

    Args:
        text: perhaps empty.
        confidence: geometric mean of the probabilities of its tokens, 0 to 1; ``None`` where the
            transcriber gives none.
        error: why there is no transcript, if the transcriber failed.
        words: of ``transcribe_words``, in the order of time.
    """

    text: str
    confidence: float | None = None
    error: str | None = None
    words: tuple[Word, ...] = ()


class TranscriberUnavailable(RuntimeError):
    """The weights of a transcriber are not found. The message is one line."""


class Transcriber(Protocol):
    """What the pipeline and the corpus builder need of a speech transcriber."""

    name: str

    def load(self) -> None:
        """Load the weights once; raise :class:`TranscriberUnavailable` when there are none."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return one transcript per waveform (float32 ``(num_samples,)``, 16 kHz)."""

    def transcribe_words(self, speech: np.ndarray) -> Transcript | None:
        """Return a transcript with words; ``None`` when this transcriber gives them no times.

        Args:
            speech: float32 ``(num_samples,)``, 16 kHz, at most :data:`CHUNK_S` seconds.
        """


class ModelTranscriber(Transcriber):
    """A transcriber whose weights are loaded by the first clip.

    Args:
        model: a name, a Hub id or a path, as the package knows it.
        device: torch device.
        language: spoken language for multilingual models; detected when not given.
        short_context: see :func:`~hub_model.transcription.make_transcriber`.
    """

    prefix = ""
    """What stands before ``model`` in the transcriber's name."""

    def __init__(
        self,
        model: str,
        *,
        device: Any = "cpu",
        language: str | None = None,
        short_context: bool = False,
    ) -> None:
        self.name = self.prefix + model
        self._source = model
        self._device = device
        self._language = language
        self._short_context = short_context
        self._loaded: Any = None

    def load(self) -> None:
        """Load from a file or folder, from the package's cache, or from the network when online.

        Raises:
            TranscriberUnavailable: it is in none of these, or does not have the language.
        """
        if self._loaded is not None:
            return
        loaded = self._load()
        if (
            self._language is not None
            and self._language.lower() not in ("en", "english")
            and not self._is_multilingual(loaded)
        ):
            reason = f"transcribes English only, and not {self._language}"
            raise TranscriberUnavailable(f"{self.name}: {reason}")
        self._loaded = loaded

    @abstractmethod
    def _load(self) -> Any:
        """Load the weights, or raise :class:`TranscriberUnavailable`."""

    @abstractmethod
    def _is_multilingual(self, loaded: Any) -> bool:
        """Whether what ``_load`` returned knows more than English."""


def most_tokens(waveforms: Sequence[np.ndarray], limit: int) -> int:
    """Most tokens of a transcript of the longest of these clips; the model allows ``limit``."""
    seconds = max(waveform.size for waveform in waveforms) / SAMPLING_RATE
    return min(limit, TOKENS_AT_LEAST + math.ceil(TOKENS_A_SECOND * seconds))


def sensible(transcript: Transcript, *, is_cut: bool) -> Transcript:
    """A transcript, or an error in place of one that repeats itself and was cut at its bound.

    What is said may repeat itself too, but it comes to an end. Marks without a word are no text.
    """
    if not any(map(str.isalnum, transcript.text)):
        return Transcript("")
    content = transcript.text.encode()
    ratio = len(content) / len(zlib.compress(content))
    if is_cut and len(content) >= COMPRESSION_BYTES and ratio > COMPRESSION_LIMIT:
        return Transcript("", error="the transcriber repeated itself")
    return transcript


def one_line(error: Exception) -> str:
    """The first line of a message, for :class:`TranscriberUnavailable`."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def no_hub() -> str | None:
    """Why nothing can be loaded from the Hub; ``None`` when it can be reached.

    One request, because ``transformers`` retries that of every file for half a minute.
    """
    from huggingface_hub import constants, get_session  # slow to import

    if constants.is_offline_mode():
        return "offline"
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # of the HTTP library that huggingface_hub uses
        return "the Hub cannot be reached"
    return None


def weights_of(name: str) -> str:
    """Where a transformers transcriber is loaded from: its folder, the Hub's cache, or the Hub.

    Raises:
        TranscriberUnavailable: it is in none of these, or the Hub cannot be reached.
    """
    if not Path(name).is_dir() and (why := no_hub()):
        from huggingface_hub import snapshot_download

        try:
            return snapshot_download(name, local_files_only=True)
        except Exception as error:
            reason = f"no weights in a local folder or the cache, and {why}"
            raise TranscriberUnavailable(f"{name}: {reason}") from error
    return name


class CachedTranscriber:
    """A transcriber whose results are kept on disk.

    A file is written whole under another name and then renamed, so that two processes may share a
    folder, and a file that is there is complete. One that cannot be read counts as missing.

    Args:
        transcriber: called for the clips that are not in the cache, and loaded only then.
        folder: made when the first transcript is written.
        settings: what the text depends on besides the transcriber's name and its files.
    """

    def __init__(
        self, transcriber: Transcriber, folder: str | os.PathLike, settings: dict[str, Any]
    ) -> None:
        self.name = transcriber.name
        self._transcriber = transcriber
        key = json.dumps([FORMAT, self.name, _files(self.name), settings], sort_keys=True)
        self._folder = Path(folder) / sha256(key.encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load nothing; the transcriber is loaded by the first clip that is not in the cache."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return cached transcripts, and transcribe the rest in one batch.

        When the transcriber is unavailable, the clips that are not cached carry the error.

        Raises:
            TranscriberUnavailable: it is, and no clip is cached.
        """
        paths = [self._path(waveform) for waveform in waveforms]
        found = {path: _read(path) for path in paths}
        unknown = {
            path: waveform
            for path, waveform in zip(paths, waveforms, strict=True)
            if found[path] is None
        }
        if unknown:
            try:
                new = self._transcriber.transcribe(list(unknown.values()))
            except TranscriberUnavailable as error:
                if len(unknown) == len(found):
                    raise
                new = [Transcript("", error=str(error)) for _ in unknown]
            for path, transcript in zip(unknown, new, strict=True):
                found[path] = transcript
                if transcript.error is None:
                    _write(path, transcript)
        return [kept for path in paths if (kept := found[path]) is not None]

    def transcribe_words(self, speech: np.ndarray) -> Transcript | None:
        """Return the transcript with words that is cached, or transcribe.

        Raises:
            TranscriberUnavailable: the transcriber is, and the speech is not cached.
        """
        path = self._path(speech, ".words.json")
        found = _read(path)
        if found is None:
            found = self._transcriber.transcribe_words(speech)
            if found is not None and found.error is None:
                _write(path, found)
        return found

    def _path(self, waveform: np.ndarray, suffix: str = ".json") -> Path:
        name = audio_hash(waveform)
        return self._folder / name[:2] / f"{name}{suffix}"


def _files(name: str) -> list[Any]:
    """Names, sizes and times of the files of a local transcriber."""
    path = Path(name.rpartition(":")[2])
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _read(path: Path) -> Transcript | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        words = tuple(Word(**word) for word in kept.pop("words", ()))
        # Older files hold more.
        return Transcript(kept["text"], kept["confidence"], words=words)
    except (OSError, LookupError, ValueError, TypeError, AttributeError):
        return None


def _write(path: Path, transcript: Transcript) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8"
    ) as file:
        json.dump(asdict(transcript), file)
    os.replace(file.name, path)
