"""The model card that travels with a checkpoint, written from its config and from results files.

The words come from here; the measured tables between the markers come from the project's report
generator, and the entries of ``model-index``, which the Hub reads, from :func:`with_results`.
"""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

RESULTS_BEGIN, RESULTS_END = "<!-- results:ravdess -->", "<!-- /results:ravdess -->"
CALIBRATION_BEGIN, CALIBRATION_END = "<!-- results:calibration -->", "<!-- /results:calibration -->"
"""Between such markers the project's report generator writes the measured tables."""

MEASURES = {
    "wa": ("accuracy", "WA"),
    "ua": ("recall", "UA (mean recall of the classes)"),
    "expected_calibration_error": ("expected_calibration_error", "ECE"),
}
"""What of a results file goes into ``model-index``, in per cent: the Hub's type, and its name."""

CARDED = ("ravdess", "cross_corpus")
"""Benchmarks whose figures go into ``model-index``; the others measure parts or changed clips."""

PROTOCOLS = {"speaker_disjoint": "speaker-disjoint", "paper": "paper's, speaker-dependent"}
"""A figure means nothing without its protocol, so that it stands in the name of the split."""

NON_COMMERCIAL = "cc-by-nc-sa-4.0"
"""Licence of weights that learnt from RAVDESS or TESS, whose terms forbid commercial use."""


def write_model_card(config: Any, folder: str | os.PathLike, *, plain: bool = False) -> Path:
    """Write ``README.md`` into a checkpoint folder.

    The card of the folder from which the model was loaded is kept, with its results; a new one is
    written from the config otherwise.

    Args:
        config: a ``HubertBertConfig``.
        folder: the checkpoint folder; it must exist.
        plain: it holds a stock classifier of ``transformers``.
    """
    path = Path(folder) / "README.md"
    card = card_of(config, config.name_or_path or None, plain=plain)
    path.write_text(card, encoding="utf-8")
    return path


def card_of(config: Any, folder: str | os.PathLike | None, *, plain: bool = False) -> str:
    """Return the card that a folder has, or a new one from the config.

    A model that is fitted to recordings of one source always gets a new one: what was measured
    before does not hold for it.
    """
    known = folder is not None and (Path(folder) / "README.md").is_file()
    if known and config.logit_bias is None:
        return (Path(folder) / "README.md").read_text(encoding="utf-8")
    return str(ModelCard(_content(config, plain)))


def weights_hash(folder: str | os.PathLike) -> str:
    """Hash the names and bytes of a folder's weights, as results files name what they measured."""
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
    """Put what was measured of these weights into the front matter of a card.

    Args:
        card: a whole card; entries that it has are replaced.
        results: contents of results files, as ``evaluate_benchmarks.py`` writes them.
        weights: :func:`weights_hash` of the model; what was measured of others is left out.
        name: of the model.

    Returns:
        the card, with one entry in ``model-index`` for every benchmark, protocol and measure;
        unchanged when nothing was measured.
    """
    found = [
        entry
        for result in results
        if result["benchmark"] in CARDED
        for row in result["rows"]
        if row["kind"] == "model" and row["weights_sha256"] == weights
        for entry in _entries(row, result)
    ]
    if not found:
        return card
    parsed = ModelCard(card)
    parsed.data.model_name, parsed.data.eval_results = name, found
    return str(parsed)


def _entries(row: Mapping[str, Any], result: Mapping[str, Any]) -> list[EvalResult]:
    scores, corpus = row["scores"], row.get("corpus", result["benchmark"])
    protocol = PROTOCOLS.get(row["protocol"], str(row["protocol"]))
    split = (result.get("data") or {}).get("split") or "all"
    if result["benchmark"] == "cross_corpus":
        split = "unheard speakers"
    heard = "unknown" if row.get("overlap") is None else str(len(row["overlap"]["speakers"]))
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="Speech emotion recognition",
            dataset_type=corpus,
            dataset_name=corpus.upper(),
            dataset_config=f"{protocol}, {row.get('classes', 7)} classes",
            dataset_split=f"{split}; {protocol}; {scores['clips']} clips of {scores['speakers']} "
            f"speakers, {heard} of them heard in training",
            metric_type=kind,
            metric_name=name,
            metric_value=round(100 * scores[measure], 2),
        )
        for measure, (kind, name) in MEASURES.items()
        if measure in scores
    ]


def licences_of(training: dict[str, Any]) -> dict[str, str]:
    """Name and licence of everything that the weights learnt from, in every stage."""
    licences = training.get("licences") or {}
    found = {name: licences.get(name, "see the corpus") for name in training.get("data") or []}
    for stage in training.get("stages") or []:
        for name, licence in stage["licences"].items():
            if name.lower() not in found:
                found[name] = f"{licence} ({stage['stage']})"
    return found


def licence_of(config: Any) -> str:
    """Licence of a model's weights, by its config."""
    return _licence(licences_of(config.training or {}))


def _licence(licences: dict[str, str]) -> str:
    """Licence of the weights: what they learnt from decides."""
    if not licences:
        return "apache-2.0"
    return (
        NON_COMMERCIAL
        if any("-nc" in licence.lower() for licence in licences.values())
        else "other"
    )


CALIBRATED = (
    "It was fitted on labelled clips that the weights did not learn from; it changes the "
    "confidence, never the order of the emotions. How far confidence and accuracy lie apart on "
    "test clips is the expected calibration error (ECE)."
)
NOT_CALIBRATED = (
    "It has not been fitted: take the probabilities as an order. `speech-emotion calibrate` "
    "fits it to labelled clips of your own."
)
PLAIN_CALIBRATION = (
    " `hub_model` reads it from `config.json`; the stock pipeline knows only what is in the "
    "weights, and `speech-emotion export --plain` puts it there."
)
ADAPTED = """
The model is fitted to the recordings of one source (`speech-emotion adapt`): what a voice, a
room or a microphone adds to every answer is taken off. Expect less of it elsewhere.
"""


def _size(encoder: Any) -> str:
    return f"{encoder.num_hidden_layers} layers of {encoder.hidden_size}"


def _cleaning(config: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.cleaning.items())


def _own_use(config: Any) -> str:
    audio = config.audio_config
    encoders = f"a speech encoder (`{audio.model_type}`, {_size(audio)})"
    if config.use_text:
        text = config.text_config
        encoders += f" and of a text encoder (`{text.model_type}`, {_size(text)})"
    return f"""# Emotion from speech and transcript

A `HubertBertForEmotion`: the hidden states of {encoders}, averaged over time,
concatenated, and classified by one linear layer, after "Speech and Text-Based Emotion
Recognizer", section III-D.2.

## Use

```python
from transformers import pipeline

classifier = pipeline("audio-classification", model="this/model", trust_remote_code=True)
classifier("clip.wav")                         # seven labels with probabilities, sorted
classifier("clip.wav", text="what was said")   # a known transcript wins over the transcriber
classifier("clip.wav", return_transcript=True)
```

It needs `soundfile soxr noisereduce` beside transformers and torch. Clips are cleaned as
in training: {_cleaning(config)}. Transcripts come from `{config.transcriber}`; when it cannot be
reached the answer comes from the audio alone."""


def _plain_use(config: Any) -> str:
    audio = config.audio_config
    return f"""# Emotion from speech

The "Hubert Standalone" of "Speech and Text-Based Emotion Recognizer" (section III-D.1): a stock
audio classifier of `transformers` (`{audio.model_type}`, {_size(audio)}).

## Use

```python
from transformers import pipeline

classifier = pipeline("audio-classification", model="this/model")
classifier("clip.wav", top_k=None)
```

It needs no code but that of `transformers`. In training, clips were 16 kHz, mono, and cleaned:
{_cleaning(config)}. The stock pipeline does not clean them."""


def _content(config: Any, plain: bool) -> str:
    training = config.training or {}
    licences = licences_of(training)
    own = ["hubert", "bert", "multimodal", "custom_code"]
    data = ModelCardData(
        language="en",
        license=_licence(licences),
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=[
            "speech-emotion-recognition",
            *([config.audio_config.model_type] if plain else own),
        ],
        metrics=["accuracy", "recall"],
    )
    labels = ", ".join(config.id2label[i] for i in sorted(config.id2label))
    trained_on = [f"- {name}: {licence}" for name, licence in licences.items()]
    if not trained_on:
        trained_on = ["- nothing yet: the weights are as they were initialised"]
    temperature = training.get("temperature", 1) if plain else 1
    temperature *= config.temperature
    calibration = CALIBRATED if temperature != 1 else NOT_CALIBRATED
    return f"""---
{data.to_yaml()}
---

{_plain_use(config) if plain else _own_use(config)}

Labels: {labels}.

## Training data and licences

{os.linesep.join(trained_on)}

Split: {training.get("protocol", "none")}. The speakers seen in training, the data fingerprint,
the seed, the commit and the library versions are under `training` in `config.json`.
Weights that learnt from non-commercial corpora inherit that limit: use them for research only.

## Results

{RESULTS_BEGIN}
Not measured yet.
{RESULTS_END}

## Calibration

Logits are divided by a temperature of {temperature:.4g} before they become probabilities.
{calibration}{PLAIN_CALIBRATION if plain and config.temperature != 1 else ""}
{ADAPTED if config.logit_bias is not None else ""}

{CALIBRATION_BEGIN}
Not measured yet.
{CALIBRATION_END}

## Limits and intended use

For research on acted and recorded speech, for sorting one's own archive, and for teaching. The
corpora that it may have learnt from hold acted emotions of a few speakers of North American and
British English: expect less on spontaneous speech, other accents, other languages, children, noise
and telephone lines. A score is a guess about how a voice sounds, not about what a person feels. Do
not use it to judge, hire, grade, insure or police anybody.

In the European Union, Article 5(1)(f) of the AI Act (Regulation (EU) 2024/1689) forbids systems
that infer emotions of people from their biometric data, such as the voice, at the workplace and in
education, but for medical and safety reasons. Elsewhere in the Union such a system counts as
high-risk (Annex III), and the people exposed to it have to be told (Article 50(3)). Other laws may
restrict it further. This is no legal advice.
"""
