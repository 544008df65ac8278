"""Small models with random weights under the Hub ids that the configs start from."""

from pathlib import Path

import torch
from huggingface_hub import HfApi
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    HubertConfig,
    HubertModel,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.toy_corpus import AUDIO, TEXT, write_whisper

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kids", "are", "talking")

HUBERT, BERT = "facebook/hubert-base-ls960", "google-bert/bert-base-uncased"
WHISPER, MINILM = "openai/whisper-tiny.en", "sentence-transformers/all-MiniLM-L6-v2"
MOBILENET = "google/mobilenet_v2_1.0_224"


def write_hubert(folder: Path) -> None:
    torch.manual_seed(0)
    HubertModel(HubertConfig(**AUDIO)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)


def write_bert(folder: Path) -> None:
    torch.manual_seed(0)
    BertModel(BertConfig(**TEXT, vocab_size=len(WORDS))).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)


def write_speech_whisper(folder: Path) -> None:
    write_whisper(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def write_mobilenet(folder: Path) -> None:
    settings = MobileNetV2Config(depth_multiplier=0.1, finegrained_output=False, min_depth=8)
    MobileNetV2ForImageClassification(settings).save_pretrained(folder)


WRITERS = {
    HUBERT: write_hubert,
    BERT: write_bert,
    MINILM: write_bert,
    WHISPER: write_speech_whisper,
    MOBILENET: write_mobilenet,
}


def push_hub_models(hub: LoopbackHub, folder: Path) -> None:
    """Push all of them, each as its owner."""
    for number, (name, write) in enumerate(WRITERS.items()):
        owner, short = name.split("/")
        token = f"hf_{number:034d}"
        hub.protocol.users[token] = owner
        write(folder / short)
        api = HfApi(endpoint=hub.url, token=token)
        api.create_repo(name)
        api.upload_folder(repo_id=name, folder_path=folder / short)
