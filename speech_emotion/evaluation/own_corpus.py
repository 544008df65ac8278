"""Any labelled corpus: scores of every model on the labels that it shares with the corpus."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from corpus_builder import CorpusError
from corpus_builder.labels import read_label_map
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.labelled_data import NO_SPEAKER, LabelledData, read_labelled
from speech_emotion.evaluation.labels import labels_meant
from speech_emotion.evaluation.models import Model, open_model
from speech_emotion.evaluation.provenance import portable, portable_line
from speech_emotion.evaluation.scoring import answered_of, brief_scores, ids_of, prior


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(Settings):
    """Settings of a user's corpus.

    Args:
        data: see :func:`~speech_emotion.evaluation.labelled_data.read_labelled`.
        protocol: configuration of a built corpus or data set.
        map: what words of the data and of the models mean, ``WORD=LABEL``.
    """

    map: tuple[str, ...] = ()
    protocols: ClassVar[tuple[str, ...]] = ()


def run(settings: CorpusSettings) -> Outcome:
    """Score every model on the clips whose labels it has, beside the prior.

    Clips without a prediction are listed, and are not scored.

    Raises:
        EvaluationError: a model, the data or a label map cannot be used.
    """
    try:
        words = read_label_map(settings.map)
    except CorpusError as error:
        raise EvaluationError(str(error)) from error
    data = read_labelled(
        settings.data,
        words=words,
        protocol=settings.protocol,
        split=settings.split,
        corpus=settings.corpus,
    )
    meanings = partial(labels_meant, labels=data.labels, words=words)
    models = [open_model(name, meanings=meanings) for name in dict.fromkeys(settings.models)]
    shared = [_shared_labels(model, data, settings.data) for model in models]
    data = replace(data, clips=data.clips.limited(settings.limit, seed=settings.seed))
    if any(model.record.hashes for model in models):
        data = data.hashed()
    outcome = Outcome(data=_facts(data, settings))
    for model, labels in zip(models, shared, strict=True):
        _score(model, data, labels, settings, outcome)
    return outcome


def _shared_labels(model: Model, data: LabelledData, name: str) -> tuple[str, ...]:
    """The labels of the corpus that a model can predict."""
    meant = {label for _, label in model.labels}
    shared = tuple(label for label in data.labels if label in meant)
    if len(shared) < 2:
        raise EvaluationError(
            f"--model {model.name}: it has fewer than two labels of --data {name}: the model has "
            f"{', '.join(own for own, _ in model.labels)}, the data {', '.join(data.labels)}; "
            "--map WORD=LABEL says which are the same"
        )
    return shared


def _score(
    model: Model,
    data: LabelledData,
    labels: tuple[str, ...],
    settings: CorpusSettings,
    outcome: Outcome,
) -> None:
    clips = data.of_labels(labels)
    if len(set(clips.labels.tolist())) < 2:
        raise EvaluationError(
            f"--data {settings.data}: the clips that --model {model.name} can be scored on have "
            "fewer than two labels"
        )
    predictor = CachedPredictor(model, clips, replace(settings, data=data.folder), classes=labels)
    with outcome.timed(predictor.name):
        table = predictor.predict()
    answered, failed = answered_of(table), table[table["predicted"].isna()]
    errors = dict(zip(failed["utterance_id"], failed["error"], strict=True))
    if answered.empty:
        reason = next(iter(errors.values()))
        raise EvaluationError(
            f"--model {model.name}: no clip has a prediction; the first: {reason}"
        )
    result = predictor.result(
        answered,
        protocol=None,
        emotions=list(labels),
        without_clips=[own for own, label in model.labels if label is None],
        left_out_labels={n: count for n, count in data.counts().items() if n not in labels},
        not_scored=errors,
        with_errors=brief_scores(*ids_of(table, classes=labels)[:2]),
    )
    outcome.add(result, table)
    outcome.results.append(
        {"kind": "prior", "system": predictor.name, **prior(answered["label"].tolist())}
    )


def _facts(data: LabelledData, settings: CorpusSettings) -> dict:
    """What the results file records about the data."""
    clips, folder = data.clips, data.folder
    return {
        "kind": data.kind,
        "source": portable(settings.data),
        "protocol": settings.protocol if data.kind == "corpus" else None,
        "split": data.split,
        "text": settings.text,
        "limit": settings.limit,
        "clips": len(clips.clips),
        "speakers": sorted(set(clips.speakers.tolist()) - {NO_SPEAKER}),
        "without_speaker": int((clips.speakers == NO_SPEAKER).sum()),
        "transcripts": sum(bool(text) for text in clips.clips["transcript"][:]),
        "clips_sha256": clips.fingerprint(),
        "labels": data.counts(),
        "removed": clips.removed,
        "rejected": [portable_line(line, folder) for line in clips.rejected],
    }
