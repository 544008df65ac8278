"""A classifier of the size of HuBERT base with random weights, and real clips to time it with."""

from pathlib import Path

import numpy as np
import torch
from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor

from hub_model.audio import SAMPLING_RATE, load_audio
from hub_model.labels import EMOTIONS

SPREAD = 1.5
"""Standard deviation of a label's logits over clips, about that of a trained model. With random
weights the logits of all clips would be nearly the same, and labels would change at the smallest
error."""


def real_clips(data: Path, count: int) -> list[str]:
    """``count`` clips below a folder, spread evenly over all of them.

    Raises:
        SystemExit: there are too few.
    """
    files = sorted(data.rglob("*.flac")) + sorted(data.rglob("*.wav"))
    if len(files) < count:
        raise SystemExit(f"{data}: {count} clips asked for, {len(files)} are there")
    return [str(files[int(i * len(files) / count)]) for i in range(count)]


def write_random_hubert(folder: Path, clips: list[str], **settings: int) -> None:
    """Write a stock checkpoint, ``HubertForSequenceClassification`` of seven emotions.

    Args:
        folder: created if missing.
        clips: a few, on which the head is scaled.
        settings: of ``HubertConfig``; those of HuBERT base when not given.
    """
    torch.manual_seed(0)
    labels = dict(enumerate(EMOTIONS))
    model = HubertForSequenceClassification(HubertConfig(id2label=labels, **settings)).eval()
    torch.nn.init.normal_(model.classifier.weight)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    logits = []
    with torch.inference_mode():
        for clip in clips:
            inputs = extractor(load_audio(clip), sampling_rate=SAMPLING_RATE, return_tensors="pt")
            logits.append(model(inputs["input_values"]).logits[0])
    spread = torch.stack(logits)
    with torch.no_grad():
        scale = SPREAD / spread.std(dim=0)
        model.classifier.weight *= scale[:, None]
        model.classifier.bias.copy_(model.classifier.bias * scale - spread.mean(dim=0) * scale)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def probabilities(predictions: list[list[dict]]) -> np.ndarray:
    """The predictions of a pipeline as ``(clips, 7)``, in label-id order."""
    scores = [{entry["label"]: entry["score"] for entry in one} for one in predictions]
    return np.asarray([[one[emotion] for emotion in EMOTIONS] for one in scores])


def agreement(found: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Share of equal labels, and the largest difference of a probability."""
    return {
        "same_label": round(float((found.argmax(1) == exact.argmax(1)).mean()), 4),
        "largest_probability_difference": float(f"{np.abs(found - exact).max():.2g}"),
    }
