"""Writing what was trained as a folder that serves."""

import copy
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData

from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.model_card import NON_COMMERCIAL
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.standalone import save_standalone
from training.config import TrainConfig
from training.saving import replaced_folder


def save_checkpoint(
    weights: dict[str, torch.Tensor],
    model_config: HubertBertConfig,
    processor: Any,
    config: TrainConfig,
    temperature: float,
) -> None:
    """Write ``config.out`` beside its place, then move it there.

    Args:
        weights: of the whole model, from whichever device.
        model_config: its config; not changed.
        processor: its processor.
        config: ``standalone`` asks for a stock classifier, ``save_dtype`` for its precision.
        temperature: stored in the config; a stock classifier has it in its weights.

    Raises:
        TrainingFailed: it cannot be written; what was there before is as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # Built anew: with FSDP and DeepSpeed the model that is trained holds a share of them only.
        model = HubertBertForEmotion(copy.deepcopy(model_config))
    model.load_state_dict(weights)
    model.config.name_or_path = ""  # else the card of the start, with its results, would stay
    model.config.temperature = temperature
    dtype = getattr(torch, config.save_dtype)
    with replaced_folder(Path(config.out)) as folder:
        if config.standalone:
            _save_stock(model, processor, folder, dtype)
        else:
            pipe = SpeechTextEmotionPipeline(
                model=model.to(dtype),
                processor=processor,
                task=PIPELINE_TASK,
                device="cpu",
                transcriber="none",
            )
            pipe.save_pretrained(folder)


def _save_stock(
    model: HubertBertForEmotion, processor: Any, folder: Path, dtype: torch.dtype
) -> None:
    training = {**(model.config.training or {}), "temperature": model.config.temperature}
    model.config.training = training
    plain = save_standalone(model, processor, folder)
    if plain.dtype != dtype:
        plain.to(dtype).save_pretrained(folder)
    (folder / "README.md").write_text(str(ModelCard(_stock_card(model.config))), encoding="utf-8")


def _stock_card(config: HubertBertConfig) -> str:
    training = config.training
    licences = dict(training["licences"])
    for stage in training["stages"]:
        licences |= stage["licences"]
    limited = any("-nc" in licence.lower() for licence in licences.values())
    data = ModelCardData(
        language="en",
        license=NON_COMMERCIAL if limited else "other",
        library_name="transformers",
        pipeline_tag=PIPELINE_TASK,
        tags=["speech-emotion-recognition", config.audio_config.model_type],
        metrics=["accuracy", "recall"],
    )
    labels = ", ".join(config.id2label[i] for i in sorted(config.id2label))
    cleaning = ", ".join(f"{name} {value}" for name, value in config.cleaning.items())
    learnt_from = "\n".join(f"- {name}: {licence}" for name, licence in licences.items())
    return f"""---
{data.to_yaml()}
---

# Emotion from speech

The "Hubert Standalone" of "Speech and Text-Based Emotion Recognizer" (section III-D.1): a stock
audio classifier of `transformers` (`{config.audio_config.model_type}`,
{config.audio_config.num_hidden_layers} layers of {config.audio_config.hidden_size}).

Labels: {labels}.

```python
from transformers import pipeline

recogniser = pipeline("audio-classification", model="this/model")
recogniser("clip.wav", top_k=None)
```

It needs no code but that of `transformers`. In training, clips were 16 kHz, mono, and cleaned:
{cleaning}. The stock pipeline does not clean them.

## Training data and licences

{learnt_from}

Split: {training["protocol"]}. The speakers seen in training, the data fingerprint, the seed, the
commit and the library versions are under `training` in `config.json`. Weights that learnt from
non-commercial corpora inherit that limit: use them for research only.

## Limits and intended use

Acted emotions of a few speakers of North American English: expect less on spontaneous speech,
other accents, other languages, noise and telephone lines. A score is a guess about how a voice
sounds, not about what a person feels. Do not use it to judge individuals; some laws forbid
inferring emotions at work and in education.
"""
