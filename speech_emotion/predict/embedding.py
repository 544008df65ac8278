"""Pooled vectors of recordings or of their segments: what the classifier reads, in a file."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from hub_model.audio import SAMPLING_RATE, AudioError
from hub_model.decoding import AudioStream
from hub_model.timeline import NO_SPEECH
from speech_emotion.predict import DEFAULT_MODEL, PredictError
from speech_emotion.predict.clips import Recordings, find_recordings
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.vector_cache import CHUNK, module_hash
from speech_emotion.predict.writers.base import readable, refuse_existing, written_whole

SUFFIXES = (".parquet", ".npz")
TEXTS = ("path", "speaker", "label", "transcript")
NUMBERS = ("start", "end", "score")
VECTORS = ("audio", "text")
"""Columns of the result. ``start`` and ``end`` are in seconds."""

DECIDES = (
    "audio_config",
    "audio_pooling",
    "use_weighted_layer_sum",
    "concatenate_layers",
    "text_config",
    "cleaning",
    "window_s",
)
"""Settings of a model that its vectors depend on, besides the weights."""

Row = dict[str, Any]


def fingerprint(classifier: Any) -> str:
    """Hash the model with everything that decides its vectors: 32 hexadecimal digits."""
    settings = classifier.model.config.to_dict()
    extractor = classifier.processor.feature_extractor.to_dict()
    return module_hash(classifier.model, {key: settings[key] for key in DECIDES}, extractor)


@dataclass(kw_only=True)
class Embedding:
    """A run of ``speech-emotion embed``; its help explains the settings."""

    clips: Sequence[str]
    out: Path
    model: str = str(DEFAULT_MODEL)
    segments: bool = False
    window_s: float | None = None
    hop_s: float | None = None
    clean: bool = True
    check_speech: bool = True
    resume: bool = False
    loading: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self, on_error: Callable[[str], None], on_note: Callable[[str], None]
    ) -> tuple[int, int]:
        """Embed every recording; what is done is written also when the run is stopped.

        Args:
            on_error: called with the line of a recording that cannot be used.
            on_note: called with a line on what is left out of a folder or table.

        Returns:
            the number of recordings, and how many of them failed.

        Raises:
            PredictError: the model, the recordings or the output cannot be used.
        """
        if self.out.suffix not in SUFFIXES:
            raise PredictError(f"--out {self.out}: must end in {' or '.join(SUFFIXES)}")
        if not self.segments and (self.window_s, self.hop_s) != (None, None):
            raise PredictError("--window-s and --hop-s need --segments")
        refuse_existing(self.out, self.resume)
        recordings = find_recordings(self.clips, on_note=on_note)
        classifier = load_classifier(self.model, **self.loading)
        facts = {
            "model": self.model,
            "fingerprint": fingerprint(classifier),
            "of": "segments" if self.segments else "recordings",
            "pooling": classifier.model.config.audio_pooling,
        }
        rows = read_vectors(self.out, facts) if self.out.exists() else []
        done, failed = {row["path"] for row in rows}, 0
        todo = [one for one in recordings if readable(one.name) not in done]
        sources = Recordings(todo)
        try:
            for number, one in enumerate(tqdm(todo, unit="clip", disable=None), start=1):
                source, known = sources[number - 1], {"path": readable(one.name)}
                if one.speaker:
                    known["speaker"] = one.speaker
                try:
                    found = self._rows(classifier, source, one.text, on_note)
                    rows += [{**known, **row} for row in found]
                except AudioError as error:
                    failed += 1
                    on_error(str(error))
                if number % CHUNK == 0:
                    write_vectors(self.out, rows, facts)
        finally:
            if rows:
                write_vectors(self.out, rows, facts)
        return len(recordings), failed

    def _rows(
        self, classifier: Any, source: Any, text: str | None, on_note: Callable[[str], None]
    ) -> list[Row]:
        """The rows of one recording."""
        if not self.segments:
            same = {"clean": self.clean, "check_speech": self.check_speech}
            return [embed(classifier, source, text=text, **same)]
        options = {"window_s": self.window_s, "hop_s": self.hop_s, "clean": self.clean}
        result = classifier(source, return_segments=True, check_speech=self.check_speech, **options)
        spoken = [part for part in result["segments"] if part["label"] != NO_SPEECH]
        rows = []
        for part, waveform in zip(spoken, cut(source, spoken), strict=True):
            clip = {"array": waveform, "sampling_rate": SAMPLING_RATE}
            text = part["transcript"] or ""
            try:
                row = embed(classifier, clip, text=text, clean=self.clean, check_speech=False)
            except AudioError as error:  # its windows reach beyond it, to where somebody speaks
                reason = str(error).partition(": ")[2]
                on_note(f"no vector for {part['start']:g} to {part['end']:g} s: {reason}")
                continue
            rows.append(row | {key: part[key] for key in ("start", "end", "label", "score")})
        return rows


def embed(classifier: Any, source: Any, *, text: str | None = None, **options: bool) -> Row:
    """Classify a clip and keep the vectors that the model pools on the way.

    Args:
        classifier: the pipeline of a torch model.
        source: the clip.
        text: its transcript, if it is known; otherwise the transcriber's.
        options: ``clean`` and ``check_speech``, as in a call.

    Returns:
        ``label`` and ``score``, the most likely emotion; ``transcript``; ``audio``, float32
        ``(audio_embedding_size,)``, the mean over the chunks of the clip; and ``text``, float32
        ``(text_embedding_size,)``, ``None`` without a transcript.

    Raises:
        AudioError: the clip cannot be used.
    """
    outputs: list[Any] = []
    clip = classifier.preprocess(source, text=text, **options)
    hook = classifier.model.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        classifier.forward([clip], batch_size=1)
    finally:
        hook.remove()
    result = classifier.postprocess(clip, return_transcript=True, top_k=1)
    if "error" in result:
        raise AudioError(result["error"])
    row = {**result["emotions"][0], "transcript": result["transcript"], "text": None}
    for name in (
        VECTORS if result["transcript"] and classifier.model.config.use_text else ("audio",)
    ):
        chunks = [getattr(output, f"{name}_embedding").float().cpu().numpy() for output in outputs]
        row[name] = np.concatenate(chunks).mean(axis=0)
    return row


def cut(source: Any, spans: Sequence[Mapping[str, Any]]) -> Iterator[np.ndarray]:
    """Cut parts out of a recording, which is read block by block.

    Args:
        source: the recording.
        spans: ``start`` and ``end`` in seconds, in order and without overlap.

    Yields:
        float32 ``(num_samples,)`` at 16 kHz for each.
    """
    waiting = [[round(span[key] * SAMPLING_RATE) for key in ("start", "end")] for span in spans]
    held, first = np.zeros(0, dtype=np.float32), 0
    with AudioStream(source) as stream:
        for block in stream:
            held = np.concatenate([held, block])
            while waiting and waiting[0][1] <= first + held.size:
                start, end = waiting.pop(0)
                yield held[start - first : end - first]
            drop = min(held.size, max(0, waiting[0][0] - first)) if waiting else held.size
            held, first = held[drop:], first + drop
    for start, end in waiting:  # the last end is rounded
        yield held[start - first : end - first]


def write_vectors(path: Path, rows: Sequence[Row], facts: Mapping[str, str]) -> None:
    """Write a file of vectors, whole; see :func:`read_vectors`.

    Raises:
        PredictError: it cannot be written.
    """
    columns = [name for name in (*TEXTS, *NUMBERS, *VECTORS) if any(name in row for row in rows)]
    if all(row.get("text") is None for row in rows):
        columns.remove("text")
    values = {name: [row.get(name) for row in rows] for name in columns}
    try:
        with written_whole(path) as file:
            if path.suffix == ".npz":
                np.savez(file, allow_pickle=False, **_arrays(values, facts))
            else:
                pq.write_table(_table(values, facts), file)
    except OSError as error:
        raise PredictError(f"--out {path}: {error.strerror}") from error


def read_vectors(path: Path, facts: Mapping[str, str]) -> list[Row]:
    """Read the rows of a file that :func:`write_vectors` has written.

    Raises:
        PredictError: it is another kind of file, or of another model or other settings.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                arrays = dict(file)
            known = json.loads(str(arrays.pop("facts")))
            rows = [
                dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)
            ]
        else:
            table = pq.read_table(path)
            known = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
            rows = table.to_pylist()
    except (OSError, ValueError, KeyError, AttributeError, pa.ArrowInvalid) as error:
        raise PredictError(f"--out {path}: not a file of vectors; name another file") from error
    for name in ("fingerprint", "of"):
        if known.get(name) != facts[name]:
            raise PredictError(f"--out {path}: vectors of another model or kind; name another file")
    return [_as_written(row) for row in rows]


def _as_written(row: Row) -> Row:
    for name in set(VECTORS) & set(row):
        missing = row[name] is None or np.isnan(row[name]).all()
        row[name] = None if missing else np.asarray(row[name], np.float32)
    return {
        key: str(value) if key in TEXTS and value is not None else value
        for key, value in row.items()
    }


def _arrays(values: Mapping[str, list[Any]], facts: Mapping[str, str]) -> dict[str, Any]:
    """Arrays without objects: no text is empty, no vector is NaN."""
    arrays = {"facts": np.array(json.dumps(facts))}
    for name, column in values.items():
        if name in VECTORS:
            size = next(vector.size for vector in column if vector is not None)
            none = np.full(size, np.nan, dtype=np.float32)
            arrays[name] = np.stack([none if vector is None else vector for vector in column])
        elif name in NUMBERS:
            arrays[name] = np.array(column, dtype=np.float64)
        else:
            arrays[name] = np.array([text or "" for text in column])
    return arrays


def _table(values: Mapping[str, list[Any]], facts: Mapping[str, str]) -> pa.Table:
    kinds = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(NUMBERS, pa.float64())
    for name in set(VECTORS) & set(values):
        size = next(vector.size for vector in values[name] if vector is not None)
        kinds[name] = pa.list_(pa.float32(), size)
    schema = pa.schema({name: kinds[name] for name in values}, metadata=dict(facts))
    return pa.table(values, schema=schema)
