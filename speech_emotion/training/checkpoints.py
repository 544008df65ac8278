"""Writing what was trained as a checkpoint folder."""

import copy
from pathlib import Path
from typing import Any

import torch

from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from speech_emotion.predict.stock_checkpoints import save_stock_checkpoint
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.model_card import write_model_card
from speech_emotion.training.provenance import short_record, write_record
from speech_emotion.training.saving import replaced_folder
from speech_emotion.training.text_only import fit_text_only_classifier


def save_checkpoint(
    weights: dict[str, torch.Tensor],
    model_config: HubertBertConfig,
    processor: Any,
    config: TrainConfig,
    *,
    temperature: float,
    record: dict[str, Any],
) -> None:
    """Write ``config.output_dir`` beside its place, then move it there.

    Args:
        weights: of the whole model, from whichever device.
        model_config: its config; not changed.
        processor: its processor.
        config: ``stock_checkpoint`` asks for a stock class, ``save_dtype`` for its precision.
        temperature: stored in the config; a stock checkpoint has it in its weights.
        record: the training record.

    Raises:
        TrainingFailed: it cannot be written; what was there before is as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # Built anew: with FSDP and DeepSpeed the model that is trained holds a share of them only.
        model = HubertBertForEmotion(copy.deepcopy(model_config))
    model.load_state_dict(weights)
    model.config.name_or_path = ""  # else the card of the start, with its results, would stay
    model.config.temperature = temperature
    if config.stock_checkpoint:
        record = {**record, "temperature": temperature}
    elif config.text_pairs:
        fit_text_only_classifier(model, processor, config.text_pairs["comments"])
    model.config.training = short_record(record)
    audio_record = getattr(model.config.audio_config, "training", None)
    if audio_record:  # of a stock checkpoint of an earlier release
        model.config.audio_config.training = short_record(audio_record)
    dtype = getattr(torch, config.save_dtype)
    statistics = {name: part.clone() for name, part in model.named_buffers(recurse=False)}
    with replaced_folder(Path(config.output_dir)) as folder:
        if config.stock_checkpoint:
            stock = save_stock_checkpoint(model, processor, folder)
            model.config.temperature = 1  # it is in the weights now
            if stock.dtype != dtype:
                stock.to(dtype).save_pretrained(folder)
            write_model_card(model.config, folder, stock=True)
        else:
            model.to(dtype)
            for name, part in statistics.items():  # float16 would round a mean that is large
                setattr(model, name, part)
            pipe = SpeechTextEmotionPipeline(
                model=model,
                processor=processor,
                task=PIPELINE_TASK,
                device="cpu",
                transcriber="none",
            )
            pipe.save_pretrained(folder)
            write_model_card(model.config, folder)
        write_record(folder, record)
