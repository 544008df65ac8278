"""Conversations: who sounds how when, with turns that are known and turns that are found."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hub_model.audio import SAMPLING_RATE, AudioError
from hub_model.labels import EMOTIONS
from hub_model.timeline import NO_SPEECH
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError, one_line
from speech_emotion.evaluation.benchmark import (
    Outcome,
    Result,
    Settings,
    clip_facts,
    data_facts,
    read_clips,
)
from speech_emotion.evaluation.classifiers import PipelineClassifier, load_classifier
from speech_emotion.evaluation.conversation_recipe import Conversation, make_conversations
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import columns_of
from speech_emotion.evaluation.tables import (
    ResultsFile,
    closing_notes,
    estimate,
    markdown_table,
    percent,
    scored,
    seen_note,
    with_notes,
)
from speech_emotion.predict import PredictError, diarisation
from speech_emotion.training.parsing import option

WAYS: dict[str, Callable[[Conversation], tuple[np.ndarray, Any]]] = {
    "turns known": lambda made: (made.mixed, [_turn(turn) for turn in made.turns]),
    "channels": lambda made: (made.channels, made.speakers),
    "auto": lambda made: (made.mixed, diarisation.diarise),
    "auto, number known": lambda made: (
        made.mixed,
        partial(diarisation.diarise, num_speakers=len(made.speakers)),
    ),
}
"""How the speakers are told: a recording, and ``speakers`` of the pipeline."""


@dataclass(frozen=True, kw_only=True)
class ConversationSettings(Settings):
    """The settings of the benchmark."""

    conversations: int = option(20, "number of conversations")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conversations < 1:
            raise EvaluationError(f"--conversations {self.conversations}: must be at least 1")


def run(settings: ConversationSettings) -> Outcome:
    """Error rates of speakers and emotions in conversations made of the test clips.

    Every conversation is classified audio-only with the turns known, with a speaker on each
    channel, and with speakers told by their voices in one channel.

    Raises:
        EvaluationError: a model or the data cannot be used, or the extra ``speakers`` is missing.
    """
    if importlib.util.find_spec("pyannote.metrics") is None:
        raise EvaluationError(
            'conversation needs pyannote.metrics; run pip install "speech-text-emotion[speakers]"'
        )
    try:
        diarisation.load()
    except PredictError as error:
        raise EvaluationError(one_line(error)) from error
    settings = replace(settings, text="none")
    outcome = Outcome()
    for model in settings.distinct_models:
        clips = read_clips(settings, [model])
        outcome.data = outcome.data or data_facts(settings, clips)
        name = portable(model.name)
        with outcome.timed(name):
            table, errors = _measured(model, clips, settings)
        result: Result = {
            "kind": "model",
            "system": name,
            "weights_sha256": model.weights_sha256,
            "protocol": settings.protocol,
            "emotions": list(model.emotions),
            **clip_facts(model.record, clips),
            "scores": {"clips": len(table) // len(WAYS), "speakers": table["speaker_id"].nunique()},
            "conversations": _facts(errors),
            "ways": {
                way: _scores(turns, errors[errors["way"] == way], settings.seed)
                for way, turns in table.groupby("way", sort=False)
            },
        }
        outcome.add(result, table)
    return outcome


def _measured(
    model: Model, clips: Any, settings: ConversationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A line for every turn, and a line for every conversation, each way."""
    classifier = load_classifier(model, text="none", trust_remote_code=settings.trust_remote_code)
    if not isinstance(classifier, PipelineClassifier):
        raise EvaluationError(f"--model {model.name}: a baseline has no timeline")
    labels = {name: meant if meant in EMOTIONS else None for name, meant in model.labels}
    turns, lines = [], []
    for made in make_conversations(clips, settings.conversations, seed=settings.seed):
        emotions = [EMOTIONS[clips.labels[turn["clip"]]] for turn in made.turns]
        for way, prepare in WAYS.items():
            audio, speakers = prepare(made)
            try:
                row = classifier.pipe(
                    {"array": audio, "sampling_rate": SAMPLING_RATE},
                    return_segments=True,
                    speakers=speakers,
                    labels=labels,
                    clean=not clips.cleaned,
                    batch_size=settings.batch_size,
                )
            except AudioError:  # no speech was found, so everything is missed
                row = {"segments": [], "windows": [], "speakers": {}}
            facts = {"conversation": made.name, "way": way}
            line, names = _errors(made, emotions, row)
            lines.append(facts | line)
            for turn, emotion in zip(made.turns, emotions, strict=True):
                scores = _scores_of(turn, row["windows"], names)
                turns.append(
                    facts
                    | _turn(turn, "speaker_id")
                    | {
                        "utterance_id": clips.clips[turn["clip"]]["utterance_id"],
                        "label": emotion,
                        "predicted": max(scores, key=scores.__getitem__) if scores else None,
                    }
                    | {
                        column: np.nan if scores is None else scores.get(one, 0.0)
                        for one, column in zip(EMOTIONS, columns_of(EMOTIONS), strict=True)
                    }
                )
    return pd.DataFrame(turns), pd.DataFrame(lines)


def _turn(turn: dict[str, Any], speaker: str = "speaker") -> dict[str, Any]:
    return {"start": turn["start"], "end": turn["end"], speaker: turn["speaker"]}


def _errors(
    made: Conversation, emotions: Sequence[str], row: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The errors of a result, and the true names of its speakers."""
    spoken = [part for part in row["segments"] if part["label"] != NO_SPEECH]
    times = [(turn["start"], turn["end"]) for turn in made.turns]
    who, names = metrics.diarisation_errors(
        [(*time, turn["speaker"]) for time, turn in zip(times, made.turns, strict=True)],
        [(part["start"], part["end"], part["speaker"]) for part in spoken],
        seconds=made.seconds,
    )
    how = metrics.emotion_errors(
        [(*time, emotion) for time, emotion in zip(times, emotions, strict=True)],
        [(part["start"], part["end"], part["label"]) for part in spoken],
        seconds=made.seconds,
    )
    return {
        "speakers": len(made.speakers),
        "found": len(row["speakers"]),
        "seconds": made.seconds,
        "speech": who.total,
        "missed": who.missed,
        "false_alarm": who.false_alarm,
        "confused": who.confused,
        "speaker_errors": who.seconds,
        "emotion_errors": how.seconds,
    }, names


def _scores_of(
    turn: dict[str, Any], windows: Sequence[dict[str, Any]], names: dict[str, str]
) -> dict[str, float] | None:
    """The mean scores of the windows of a turn's speaker during it; ``None`` without any."""
    sums: dict[str, float] = {}
    for window in windows:
        shared = min(window["end"], turn["end"]) - max(window["start"], turn["start"])
        if shared > 0 and window["scores"] and names.get(window["speaker"]) == turn["speaker"]:
            for label, score in window["scores"].items():
                sums[label] = sums.get(label, 0.0) + shared * score
    total = sum(sums.values())
    return {label: value / total for label, value in sums.items()} if total else None


def _scores(turns: pd.DataFrame, errors: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The three figures of one way with intervals over conversations, and their parts."""
    number = {name: index for index, name in enumerate(EMOTIONS)}
    references = turns["label"].map(number).to_numpy(dtype=int)
    predictions = turns["predicted"].map(number).fillna(metrics.NO_ANSWER).to_numpy(dtype=int)
    groups = turns["conversation"].to_numpy(dtype=str)
    speech = errors["speech"].to_numpy()

    def share(wrong: np.ndarray, whole: np.ndarray) -> float:
        return float(wrong.sum() / whole.sum())

    of_emotions = errors["emotion_errors"].to_numpy(), errors["seconds"].to_numpy()
    of_speakers = errors["speaker_errors"].to_numpy(), speech
    return {
        "emotion_diarisation_error_rate": share(*of_emotions),
        "emotion_diarisation_error_rate_interval": metrics.bootstrap_interval(
            share, *of_emotions, seed=seed
        ),
        "diarisation_error_rate": share(*of_speakers),
        "diarisation_error_rate_interval": metrics.bootstrap_interval(
            share, *of_speakers, seed=seed
        ),
        **{
            name: share(errors[name].to_numpy(), speech)
            for name in ("missed", "false_alarm", "confused")
        },
        "ua": metrics.ua(references, predictions),
        "ua_interval": metrics.bootstrap_interval(
            metrics.ua, references, predictions, speakers=groups, seed=seed
        ),
        "turns_without_answer": int((predictions == metrics.NO_ANSWER).sum()),
        "number_right": int((errors["speakers"] == errors["found"]).sum()),
    }


def _facts(errors: pd.DataFrame) -> dict[str, Any]:
    """What the conversations are like."""
    each = errors.drop_duplicates("conversation")
    return {
        "number": len(each),
        "seconds": round(float(each["seconds"].sum()), 1),
        "speech_seconds": round(float(each["speech"].sum()), 1),
        "speakers": [int(each["speakers"].min()), int(each["speakers"].max())],
    }


def table(results: ResultsFile) -> str:
    """The three error rates for known turns, channels and voices."""
    rows, notes = [], []
    for result in scored(results):
        for way, found in result["ways"].items():
            figures = [
                estimate(found[name], found[f"{name}_interval"])
                for name in ("emotion_diarisation_error_rate", "diarisation_error_rate", "ua")
            ]
            parts = [percent(found[name]) for name in ("missed", "false_alarm", "confused")]
            right = str(found["number_right"])
            rows.append((f"`{result['system']}`", way, *figures, " + ".join(parts), right))
        made = result["conversations"]
        low, high = made["speakers"]
        notes = [
            f"{made['number']} conversations of {low} to {high} speakers, "
            f"{made['seconds'] / 60:.0f} minutes with {made['speech_seconds'] / 60:.0f} minutes "
            f"of speech, {result['scores']['clips']} turns of {result['scores']['speakers']} "
            "speakers.",
            seen_note(result),
        ]
    bootstrap, data = results["bootstrap"], results["data"]
    notes += [
        "EDER: the emotion diarisation error rate, missed emotion, false alarms and confusion as "
        "a share of all time (Wang et al., arXiv 2306.12991). DER: the diarisation error rate, "
        "missed speech, false alarms and confusion of speakers as a share of the speech. Both have "
        "no collar, count overlapping speech, and are of the segments of the result. UA: of the "
        "turns, each by the windows of its speaker; a turn without any is an error.",
        f"Figures in per cent with the {100 * bootstrap['level']:.0f} % interval over "
        f"conversations ({bootstrap['resamples']} bootstrap samples, seed {bootstrap['seed']}).",
        f"Made of the clips of `{data['source']}`, {data['split']} split; audio-only.",
        *closing_notes(results),
    ]
    header = (
        *("System", "Speakers told by", "EDER", "DER", "UA"),
        *("DER: missed + false alarms + confused", "Number of speakers right"),
    )
    return with_notes(markdown_table(header, rows), notes=notes)
