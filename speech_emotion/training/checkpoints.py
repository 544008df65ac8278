"""Writing what was trained as a folder that serves."""

import copy
from pathlib import Path
from typing import Any

import torch

from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from speech_emotion.predict.stock_checkpoints import save_standalone
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.model_card import write_model_card
from speech_emotion.training.saving import replaced_folder


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
            write_model_card(model.config, folder)


def _save_stock(
    model: HubertBertForEmotion, processor: Any, folder: Path, dtype: torch.dtype
) -> None:
    training = {**(model.config.training or {}), "temperature": model.config.temperature}
    model.config.training = training
    plain = save_standalone(model, processor, folder)
    model.config.temperature = 1  # it is in the weights now
    if plain.dtype != dtype:
        plain.to(dtype).save_pretrained(folder)
    write_model_card(model.config, folder, plain=True)
