"""The ``model-index`` of a model card: one entry a corpus and protocol, from results files."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard

from corpus_builder.sources import SOURCES
from evaluation.tables import PROTOCOL_NAMES, Result, Row

METRICS = {"wa": ("accuracy", "WA"), "ua": ("recall", "UA (mean recall of the classes)")}


def with_model_index(text: str, results: Mapping[str, Result], *, model: str) -> str:
    """A card with the measured entries of one model in its front matter.

    The name of the split tells the protocol, and how many test speakers the model has heard.

    Args:
        text: the card.
        results: results files by name.
        model: as it is named in these, such as ``checkpoints/mini``.
    """
    entries = [
        entry
        for result in results.values()
        if result["benchmark"] in ("ravdess", "cross_corpus")
        for row in result["rows"]
        if row["kind"] == "model" and row["system"] == model
        for entry in _entries(row, result)
    ]
    if not entries:
        return text
    card = ModelCard(text, ignore_metadata_errors=True)
    card.data.model_name = Path(model).name
    card.data.eval_results = entries
    return str(card)


def _entries(row: Row, result: Result) -> list[EvalResult]:
    corpus = row.get("corpus", "ravdess")
    scores, data = row["scores"], result["data"]
    split = "unheard speakers" if result["benchmark"] == "cross_corpus" else data["split"] or "all"
    heard = "unknown" if row["overlap"] is None else str(len(row["overlap"]["speakers"]))
    classes = f"{len(scores['confusion']['labels'])} classes"
    protocol = PROTOCOL_NAMES[row["protocol"]]
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="Speech emotion recognition",
            dataset_type=corpus,
            dataset_name=SOURCES[corpus].title if corpus in SOURCES else corpus,
            dataset_config=f"{protocol}, {classes}",
            dataset_split=f"{split}; {protocol}; {scores['clips']} clips of {scores['speakers']} "
            f"speakers, {heard} of them heard in training",
            metric_type=kind,
            metric_name=name,
            metric_value=round(100 * scores[figure], 2),
        )
        for figure, (kind, name) in METRICS.items()
    ]
