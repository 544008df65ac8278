"""Predicting many recordings: options, classifier, workers and writer put together."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus_builder.ray_cluster import RayCluster, RayError
from hub_model.audio import AudioError
from hub_model.calls import AUDIO_ONLY, NO_TRANSCRIBER, cores
from hub_model.labels import LABEL_SETS, Labels
from hub_model.results import Options
from speech_emotion.predict import DEFAULT_MODEL, FORMATS, PredictError
from speech_emotion.predict.clips import Recording, Recordings, find_recordings
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.speakers import SpeakerSummary
from speech_emotion.predict.turns import SUFFIXES, read_turns, turns_for
from speech_emotion.predict.writers import CHARTS, ONE_EACH, make_writer
from speech_emotion.predict.writers.base import Result

GROUP = 32
"""Recordings in one task of the Ray engine; a node that dies costs no more than these."""

OF_LOADING = (
    "backend",
    "language",
    "precision",
    "short_context",
    "transcriber",
    "transcript_cache",
    "trust_remote_code",
)
"""Settings that are arguments of :func:`load_classifier`."""

OF_CALL = (
    "abstain_below",
    "batch_size",
    "contributions",
    "dimensions",
    "hop_s",
    "smoothing",
    "top_k",
    "window_s",
)
"""Settings that are options of the pipeline's call."""


TABLES = ("csv", "parquet")


@dataclass(kw_only=True)
class Prediction:
    """A run of ``speech-emotion predict``; its help explains the settings.

    The options of :class:`~hub_model.pipeline_hubert_bert.SpeechTextEmotionPipeline` have the same
    names here; ``labels`` is text, see :func:`read_labels`, and ``segments`` stands for
    ``return_segments``.
    """

    clips: Sequence[str]
    model: str = str(DEFAULT_MODEL)
    trust_remote_code: bool = False
    text: str | None = None
    transcriber: str | None = None
    language: str | None = None
    transcript_cache: str | None = None
    short_context: bool = False
    top_k: int | None = None
    labels: str | None = None
    abstain_below: float | None = None
    contributions: bool = False
    dimensions: bool = False
    clean: bool = True
    check_speech: bool = True
    segments: bool = False
    windows: bool = False
    window_s: float | None = None
    hop_s: float | None = None
    smoothing: int | None = None
    speakers: str | None = None
    num_speakers: int | None = None
    batch_size: int = 8
    workers: int | str = 0
    engine: str = "processes"
    backend: str | None = None
    precision: str = "auto"
    format: str = "table"
    out: Path | None = None
    resume: bool = False
    summary: str = ""
    """After a run over a table with speakers: a line for each."""

    def run(
        self, on_error: Callable[[str], None], on_note: Callable[[str], None]
    ) -> tuple[int, int]:
        """Predict every recording and write the results as they are known.

        Args:
            on_error: called with the line of a recording that cannot be used.
            on_note: called with a line on what is left out of a folder or table.

        Returns:
            the number of recordings, and how many of them failed.

        Raises:
            PredictError: the settings contradict each other, or the model, the recordings or the
                output cannot be used at all.
        """
        self._check()
        recordings = self._recordings(on_note)
        files, speakers = list(recordings), SpeakerSummary(segments=self.segments)
        notes: dict[str, list[str]] = {}
        named = bool(self.speakers) or any(one.speaker for one in recordings.values())
        options = self._options()
        with self._predictor(options) as (predict, labels):
            writer = make_writer(
                self.format,
                out=self.out,
                files=files,
                resume=self.resume,
                labels=labels,
                segments=self.segments,
                windows=self.windows,
                contributions=self.contributions,
                dimensions=self.dimensions,
                speakers=named,
                overlap=bool(self.speakers),
            )
            if self.resume and (known := writer.example(files)):
                (again,) = predict([recordings[known]])
                if "error" not in again:  # it may be gone, or no longer be readable
                    writer.compare(known, again)
            todo, failed = writer.missing(files), writer.failed_before(files)
            if failed:
                on_note(f"{failed} recordings with an error from before, which are not tried again")
            to_file = self.out is not None or not sys.stdout.isatty()
            with tqdm(total=len(todo), unit="clip", disable=None if to_file else True) as bar:
                asked = [recordings[file] for file in todo]
                for recording, result in zip(asked, predict(asked), strict=True):
                    if named:
                        if not self.speakers:
                            result = {"speaker": recording.speaker, **result}
                        speakers.add(recording.speaker, result)
                    writer.write(recording.name, result)
                    for note in self._unwritten(result, len(files) > CHARTS):
                        notes.setdefault(note, []).append(recording.name)
                    bar.update()
                    if "error" in result:
                        failed += 1
                        on_error(result["error"])
            writer.close()
        for note, of in notes.items():
            others = f" and {len(of) - 1} others" if len(of) > 1 else ""
            on_note(f"{of[0]}{others}: {note}")
        # By voice, the first speaker of one recording is not that of another.
        # Of one recording, its own result has all of this.
        several = len(files) > 1 or not self.speakers
        if named and several and failed < len(files) and todo and not self._by_voice:
            self.summary = speakers.table(labels, part=len(todo) < len(files))
        return len(files), failed

    @property
    def _has_turns(self) -> bool:
        """Whether ``speakers`` names a file of turns."""
        return Path(self.speakers or "").suffix.lower() in SUFFIXES

    def _unwritten(self, result: Result, many: bool) -> list[str]:
        """Notes of a result for which the format has no place, but for what was asked for."""
        without = self.format in ONE_EACH or (self.format == "table" and many)
        notes = (result.get("note") or "").split("; ") if without else ()
        return [note for note in notes if note not in ("", NO_TRANSCRIBER, AUDIO_ONLY)]

    @property
    def _by_voice(self) -> bool:
        """Whether speakers are told by their voices."""
        return self.speakers == "auto"

    def _recordings(self, on_note: Callable[[str], None]) -> dict[str, Recording]:
        """The recordings by name, with their transcripts and turns."""
        found = self._with_texts(on_note)
        if not self._has_turns:
            return found
        turns = read_turns(Path(self.speakers or ""))
        mine = {name: turns_for(name, turns, only=len(found) == 1) for name in found}
        if not any(mine.values()):
            about = ", ".join(sorted(filter(None, turns))[:3])
            why = f"its turns are of {about}" if about else "it has no column file"
            raise PredictError(f"--speakers {self.speakers}: {why}; expected {next(iter(found))}")
        return {
            name: replace(one, turns=mine[name] or ())  # none is an error of that recording alone
            for name, one in found.items()
        }

    def _with_texts(self, on_note: Callable[[str], None]) -> dict[str, Recording]:
        found = {one.name: one for one in find_recordings(self.clips, on_note=on_note)}
        if self.text is not None:
            if len(found) > 1:
                raise PredictError("--text is the transcript of one clip, and there are several")
            if self.segments and self.text:
                raise PredictError("--text cannot be divided among segments; only an empty one can")
            return {name: replace(one, text=self.text) for name, one in found.items()}
        if self.segments and any(one.text for one in found.values()):
            on_note("the transcripts of the table cannot be divided among segments; not used")
            return {name: replace(one, text=None) for name, one in found.items()}
        return found

    def _check(self) -> None:
        if self.format in ONE_EACH or self.speakers:
            self.segments = True
        if self.windows and (self.format not in TABLES or not self.segments):
            raise PredictError(f"--windows needs --segments and --format {' or '.join(TABLES)}")
        if self.resume and self.out is None:
            raise PredictError("--resume needs --out")
        if self.out is not None and self.format == "table":
            others = ", ".join(name for name in FORMATS if name != "table")
            raise PredictError(f"--out needs one of --format {others}")
        if self.out is None and self.format == "parquet":
            raise PredictError("--format parquet needs --out FILE")
        if self.num_speakers is not None and not self._by_voice:
            raise PredictError("--num-speakers needs --speakers auto")
        if self.num_speakers is not None and self.num_speakers < 1:
            raise PredictError(f"--num-speakers {self.num_speakers}: must be at least 1")
        if self._by_voice:
            from speech_emotion.predict import diarisation  # it imports torch

            diarisation.load()
        if (isinstance(self.workers, int) and self.workers < 0) or self.batch_size < 1:
            raise PredictError("--workers must be 0 or more, and --batch-size 1 or more")

    def _options(self) -> dict[str, Any]:
        """The keyword arguments of a call; checked before a model is loaded."""
        options = {name: getattr(self, name) for name in OF_CALL}
        batch_size = options.pop("batch_size")
        options |= {"return_transcript": True, "return_segments": self.segments}
        options |= {"clean": self.clean, "check_speech": self.check_speech}
        if self.labels is not None:
            options["labels"] = read_labels(self.labels)
        if self._by_voice:
            from speech_emotion.predict import diarisation

            options["speakers"] = partial(diarisation.diarise, num_speakers=self.num_speakers)
        elif self.speakers is not None and not self._has_turns:
            options["speakers"] = read_speakers(self.speakers)
        try:
            Options(**options)
        except ValueError as error:
            raise PredictError(str(error)) from error
        options |= {"batch_size": batch_size, "num_workers": self.workers}
        return options

    @contextmanager
    def _predictor(self, options: dict[str, Any]) -> Iterator[tuple[Any, list[str]]]:
        """A function from files to results, and the labels of the results."""
        loading = {name: getattr(self, name) for name in OF_LOADING}
        loading = {name: value for name, value in loading.items() if value not in (None, False)}
        classifier = load_classifier(self.model, **loading)
        try:
            known = list(classifier.model.config.id2label.values())
            labels = Labels(known, options.get("labels")).names
        except ValueError as error:
            raise PredictError(str(error)) from error
        if self.engine != "ray":
            yield partial(_in_this_process, classifier, options), labels
            return
        del classifier
        make = partial(_ray_worker, self.model, loading, {**options, "num_workers": 0})
        workers = max(1, self.workers if isinstance(self.workers, int) else cores())
        with closing(RayCluster(workers)) as cluster:
            yield partial(_on_ray, cluster, make, workers=workers), labels


def read_speakers(text: str) -> str | list[str]:
    """Read ``--speakers``: ``channels``, names in the order of the channels, or both sides' names.

    >>> read_speakers("channels"), read_speakers("agent, customer")
    ('channels', ['agent', 'customer'])
    >>> read_speakers("right=customer,left=agent")
    ['agent', 'customer']
    """
    names = [name.strip() for name in text.split(",")]
    if names == ["channels"]:
        return "channels"
    sides = {side.strip(): name.strip() for side, _, name in (n.partition("=") for n in names)}
    if "=" in text:
        if len(names) != 2 or set(sides) != {"left", "right"}:
            raise PredictError(f"--speakers {text}: expected left=NAME,right=NAME")
        names = [sides["left"], sides["right"]]
    if not all(names) or len(set(names)) < len(names):
        raise PredictError(f"--speakers {text}: every speaker needs a name of its own")
    return names


def read_labels(text: str) -> Any:
    """Read ``--labels``: a name, a list, or a mapping; an empty new name leaves a label out.

    Raises:
        PredictError: an entry of a mapping without ``=``.

    >>> read_labels("four_class"), read_labels("happy, sad"), read_labels("calm=good,sad=")
    ('four_class', ['happy', 'sad'], {'calm': 'good', 'sad': None})
    """
    if "=" in text:
        pairs = [entry.partition("=") for entry in text.split(",")]
        if any(not separator for _, separator, _ in pairs):
            raise PredictError(f"--labels {text}: every entry needs a =")
        return {old.strip(): new.strip() or None for old, _, new in pairs}
    names = [name.strip() for name in text.split(",")]
    return names[0] if len(names) == 1 and names[0] in LABEL_SETS else names


def _in_this_process(
    classifier: Any, options: dict[str, Any], recordings: list[Recording]
) -> Iterator[Result]:
    if any(recording.turns is not None for recording in recordings):
        return _by_turns(classifier, options, recordings)
    if any(recording.text is not None for recording in recordings):
        options = {**options, "text": [recording.text for recording in recordings]}
    return classifier(Recordings(recordings), **options)


def _by_turns(
    classifier: Any, options: dict[str, Any], recordings: list[Recording]
) -> Iterator[Result]:
    """Classify one by one: the turns of each are its own."""
    sources = Recordings(recordings)
    for place, recording in enumerate(recordings):
        if not recording.turns:
            yield {"error": f"{recording.name}: the file of --speakers has no turn of it"}
            continue
        own = {"speakers": list(recording.turns), "text": recording.text}
        try:
            yield classifier(sources[place], **options, **own)
        except AudioError as error:
            yield {"error": str(error)}


def _on_ray(
    cluster: RayCluster, make: Callable[[], Any], recordings: list[Recording], *, workers: int
) -> Iterator[Result]:
    """Yield the result of every recording, in order, from the workers of a cluster."""
    groups = [recordings[at : at + GROUP] for at in range(0, len(recordings), GROUP)]
    done: dict[int, list[Result]] = {}
    turn = 0
    try:
        for index, results in cluster.map(make, groups, workers=workers):
            done[index] = results
            while turn in done:
                yield from done.pop(turn)
                turn += 1
    except RayError as error:
        raise PredictError(f"{error}; with --out, --resume continues") from error


def _ray_worker(
    model: str, loading: dict[str, Any], options: dict[str, Any]
) -> Callable[[list[Recording]], list[Result]]:
    """Load the model in a worker."""
    classifier = load_classifier(model, **loading)
    return lambda recordings: list(_in_this_process(classifier, options, recordings))
