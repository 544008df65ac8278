"""The model card of a checkpoint, made from its config and from results files.

The text is the template beside this file. The tables between its markers are written by
:mod:`speech_emotion.evaluation.report`, and the entries of ``model-index``, which the Hub reads, by
:func:`with_results`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from corpus_builder.sources import SOURCES
from speech_emotion import __version__
from speech_emotion.predict.description import licence_of, licences_of
from speech_emotion.predict.fitting import is_stock

TEMPLATE = Path(__file__).with_suffix(".md.jinja")

RESULTS_BEGIN, RESULTS_END = "<!-- results:ravdess -->", "<!-- /results:ravdess -->"
CALIBRATION_BEGIN, CALIBRATION_END = "<!-- results:calibration -->", "<!-- /results:calibration -->"
CARRIES_BEGIN, CARRIES_END = "<!-- results:cross_corpus -->", "<!-- /results:cross_corpus -->"
"""Markers of the measured tables."""

MEASURES = {
    "wa": ("accuracy", "WA"),
    "ua": ("recall", "UA (mean recall of the classes)"),
    "expected_calibration_error": ("expected_calibration_error", "ECE"),
}
"""Scores of a results file for ``model-index``, in per cent: the Hub's type, and the name."""

CARDED = ("ravdess", "cross_corpus")
"""Benchmarks whose scores go into ``model-index``; others measure parts or changed clips."""

_ADDRESS = re.compile(r'(pipeline\("audio-classification", model=")[^"]*"')

PROTOCOLS = {"speaker_disjoint": "speaker-disjoint", "paper": "paper's, speaker-dependent"}
"""Names of the protocols in the name of a split: a score means nothing without its protocol."""


@dataclass(kw_only=True)
class CardFacts:
    """What the template says of a model.

    Args:
        stock: it is a stock checkpoint.
        labels: in the order of the ids.
        speech_encoder: type and size.
        text_encoder: the same; ``None`` for an audio-only model.
        cleaning: settings, as text.
        transcriber: default of the pipeline.
        licences: name and licence of all training data.
        protocol: of the training record.
        temperature: as text.
        calibrated: the temperature was fitted.
        temperature_fit: how it was fitted to a cross-validation; ``None`` when it was not.
        temperature_in_config: of a stock checkpoint, which the stock pipeline does not read.
        adapted: it has a logit bias.
        model: where it is loaded from: a Hub id, or a folder.
        cleaned_otherwise: settings with which its training clips were cleaned, where they differ.
        degraded: degraded copies of the training clips were cleaned as its config says.
        tasks: what each further head says, as text.
        urls: address of each corpus.
        version: of this package.
        commit: of the code that trained it.
        repository: address of the code; empty when the package names none.
    """

    stock: bool
    labels: list[str]
    speech_encoder: str
    text_encoder: str | None
    cleaning: str
    transcriber: str
    protocol: str
    temperature: str
    calibrated: bool
    temperature_fit: dict[str, Any] | None
    temperature_in_config: bool
    adapted: bool
    model: str
    cleaned_otherwise: str
    degraded: bool
    tasks: dict[str, str]
    version: str
    commit: str
    repository: str
    urls: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    results_begin: str = RESULTS_BEGIN
    results_end: str = RESULTS_END
    calibration_begin: str = CALIBRATION_BEGIN
    calibration_end: str = CALIBRATION_END
    carries_begin: str = CARRIES_BEGIN
    carries_end: str = CARRIES_END

    @classmethod
    def of(cls, config: Any, *, model: str, stock: bool) -> "CardFacts":
        """Collect the facts from a ``HubertBertConfig``."""
        training = config.training or {}
        licences = licences_of(training)
        temperature = (training.get("temperature", 1) if stock else 1) * config.temperature
        return cls(
            stock=stock,
            labels=[config.id2label[index] for index in sorted(config.id2label)],
            speech_encoder=_encoder(config.audio_config),
            text_encoder=_encoder(config.text_config) if config.use_text else None,
            cleaning=_in_words(config.cleaning),
            cleaned_otherwise=_in_words(
                {
                    name: value
                    for name, value in (training.get("cleaning") or {}).items()
                    if value != config.cleaning.get(name)
                }
            ),
            degraded=bool((training.get("settings") or {}).get("poor_recordings")),
            transcriber=config.transcriber,
            protocol=training.get("protocol", "none"),
            temperature=f"{temperature:.4g}",
            calibrated=temperature != 1,
            temperature_fit=training.get("temperature_fit"),
            temperature_in_config=stock and config.temperature != 1,
            adapted=config.logit_bias is not None,
            model=model,
            tasks={
                name: ", ".join(task["labels"]) if "labels" in task else "a number"
                for name, task in (config.tasks or {}).items()
            },
            urls={name: SOURCES[name].url for name in licences if name in SOURCES},
            version=__version__,
            commit=(training.get("commit") or "")[:12],
            repository=_repository(),
            licences=licences,
        )


def write_model_card(config: Any, folder: str | os.PathLike, *, stock: bool = False) -> Path:
    """Write ``README.md`` into a checkpoint folder.

    The card of the folder from which the model was loaded is kept, with its results; otherwise a
    new one is made from the config.

    Args:
        config: a ``HubertBertConfig``.
        folder: the checkpoint folder; it must exist.
        stock: it holds a stock checkpoint.
    """
    path = Path(folder) / "README.md"
    card = card_of(config, config.name_or_path or None, stock=stock)
    path.write_text(with_address(card, _address(folder)), encoding="utf-8")
    return path


def card_of(config: Any, folder: str | os.PathLike | None, *, stock: bool = False) -> str:
    """Return the card of a folder, or a new one from the config.

    An adapted model always gets a new one: earlier results do not hold for it.
    """
    if folder is not None and config.logit_bias is None:
        known = Path(folder) / "README.md"
        if known.is_file():
            return known.read_text(encoding="utf-8")
    kinds = ["hubert", "bert", "multimodal", "custom_code"]
    data = ModelCardData(
        language="en",
        license=licence_of(config),
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=[
            "speech-emotion-recognition",
            *([config.audio_config.model_type] if stock else kinds),
        ],
        metrics=["accuracy", "recall"],
        datasets=list((config.training or {}).get("data") or []) or None,
    )
    facts = CardFacts.of(config, model=_address(folder or "model"), stock=stock)
    card = ModelCard.from_template(data, template_path=str(TEMPLATE), **asdict(facts))
    return f"{card}\n"


def card_to_push(
    config: Any, folder: Path, results: Sequence[Mapping[str, Any]], *, repo: str
) -> str:
    """Return the card of a model folder with the results of its weights.

    Args:
        config: of the loaded model.
        folder: of the model.
        results: contents of results files.
        repo: id of the repository.
    """
    card = with_address(card_of(config, folder, stock=is_stock(folder)), repo)
    name = repo.rpartition("/")[-1]
    return with_results(card, results, weights=weights_hash(folder), name=name)


def with_address(card: str, model: str) -> str:
    """Let the example of a card load this model.

    >>> with_address('pipeline("audio-classification", model="old")', "you/new")
    'pipeline("audio-classification", model="you/new")'
    """
    return _ADDRESS.sub(lambda found: f'{found[1]}{model}"', card)


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises:
        ValueError: one line that names the file.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read") from error
    if not isinstance(results, dict) or not {"benchmark", "rows"} <= set(results):
        raise ValueError(f"{path}: not written by speech-emotion evaluate")
    return results


def weights_hash(folder: str | os.PathLike) -> str:
    """Return the hash over names and bytes of a folder's weights, as results files have it."""
    digest = sha256()
    for file in sorted(Path(folder).glob("*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def with_results(
    card: str, results: Sequence[Mapping[str, Any]], *, weights: str, name: str
) -> str:
    """Put the results of these weights into the front matter of a card.

    Args:
        card: a whole card; its entries are replaced.
        results: contents of results files, as ``speech-emotion evaluate`` writes them.
        weights: :func:`weights_hash` of the model; results of other weights are left out.
        name: of the model.

    Returns:
        the card, with one entry in ``model-index`` for every corpus, protocol and measure, of the
        first benchmark that has it; unchanged when nothing was measured.
    """
    rows: dict[tuple[Any, ...], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for result in sorted(results, key=lambda result: str(result["benchmark"]) != CARDED[0]):
        for row in result["rows"] if result["benchmark"] in CARDED else ():
            if row["kind"] == "model" and row["weights_sha256"] == weights:
                scores = row["scores"]
                corpus = row.get("corpus", result["benchmark"])
                paper = row["protocol"] == "paper"
                same = (corpus, paper, scores["clips"], scores["speakers"])
                rows.setdefault(same, (row, result))
    found = [entry for row, result in rows.values() for entry in _entries(row, result)]
    if not found:
        return card
    parsed = ModelCard(card)
    data: Any = parsed.data
    data.model_name, data.eval_results = name, found
    return str(parsed)


def _entries(row: Mapping[str, Any], result: Mapping[str, Any]) -> list[EvalResult]:
    scores, corpus = row["scores"], row.get("corpus", result["benchmark"])
    protocol = PROTOCOLS.get(row["protocol"], str(row["protocol"]))
    split = (result.get("data") or {}).get("split") or "all"
    if result["benchmark"] == "cross_corpus":
        split = "unseen speakers"
    seen = "unknown" if row.get("overlap") is None else str(len(row["overlap"]["speakers"]))
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="Speech emotion recognition",
            dataset_type=corpus,
            dataset_name=corpus.upper(),
            dataset_config=f"{protocol}, {row.get('classes', 7)} classes",
            dataset_split=f"{split}; {protocol}; {scores['clips']} clips of {scores['speakers']} "
            f"speakers, {seen} of them in the training data",
            metric_type=kind,
            metric_name=name,
            metric_value=round(100 * scores[measure], 2),
        )
        for measure, (kind, name) in MEASURES.items()
        if measure in scores
    ]


def _address(folder: str | os.PathLike) -> str:
    """A folder as a reader may name it: without the folders of this machine."""
    path = Path(str(folder).removesuffix(".new"))  # a checkpoint is written beside its folder
    return path.name if path.is_absolute() else path.as_posix()


def _repository() -> str:
    """The address of the code that the installed package names; empty when it names none."""
    try:
        urls = metadata("speech-text-emotion").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = (url.partition(",")[::2] for url in urls)
    return next((url.strip() for kind, url in pairs if kind.lower() == "repository"), "")


def _in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _encoder(config: Any) -> str:
    return f"`{config.model_type}`, {config.num_hidden_layers} layers of {config.hidden_size}"
