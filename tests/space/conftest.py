"""Tiny models with random weights, and the Space served with them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
)

from hub_model.audio import Cleaning
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.processing_hubert_bert import HubertBertProcessor
from tests.helpers.space_server import ROOT, Settings, SpaceProcess, serving  # isort: split

from lock import FairLock

TINY_HUBERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "leave", "me", "alone", "hello"]


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory) -> Iterator[None]:
    """A folder for temporary files of this process only, as tests check what a server leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("server")))
        yield


@pytest.fixture(scope="session")
def stock_model(tmp_path_factory) -> Path:
    """A stock HubertForSequenceClassification folder with the seven labels."""
    folder = tmp_path_factory.mktemp("stock") / "stock-hubert"
    labels = dict(enumerate(EMOTIONS))
    torch.manual_seed(0)
    config = HubertConfig(
        **TINY_HUBERT, id2label=labels, label2id={label: i for i, label in labels.items()}
    )
    HubertForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_model(tmp_path_factory) -> Path:
    """A custom checkpoint with its code; cleaning is off, as it takes most of the time."""
    folder = tmp_path_factory.mktemp("text") / "tiny-hubert-bert"
    vocabulary = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    torch.manual_seed(0)
    config = HubertBertConfig(
        audio_config=HubertConfig(**TINY_HUBERT),
        text_config=BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        transcriber="none",
        cleaning=Cleaning(denoise=False, trim=False).to_dict(),
    )
    model = HubertBertForEmotion(config)
    processor = HubertBertProcessor(
        feature_extractor=Wav2Vec2FeatureExtractor(return_attention_mask=True),
        tokenizer=BertTokenizerFast(str(vocabulary)),
    )
    SpeechTextEmotionPipeline(
        model=model, processor=processor, task="audio-classification"
    ).save_pretrained(folder)
    head = "---\nlicense: cc-by-nc-4.0\ndatasets: ravdess\n---\n"
    card = head + "# Tiny\n\n## Training data\n\nRAVDESS: acted speech\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """Serve the Space with the given settings, once in a session; return its address."""
    with ExitStack() as stack:
        pages: dict[Settings, str] = {}

        def start(**settings) -> str:
            wanted = Settings(**settings)
            if wanted not in pages:
                pages[wanted] = stack.enter_context(serving(wanted))
            return pages[wanted]

        yield start


@pytest.fixture(scope="session")
def space_process(tmp_path_factory, stock_model) -> Iterator[SpaceProcess]:
    """The folder alone in its own process, with small limits."""
    process = SpaceProcess(
        tmp_path_factory.mktemp("alone"),
        SER_MODEL=str(stock_model),
        SER_MAX_UPLOAD_MEGABYTES="4",
        SER_MAX_MEGABYTES="2",
    )
    yield process
    process.stop()


@pytest.fixture(scope="session")
def angry_clip() -> Path:
    return ROOT / "examples" / "angry.wav"


@pytest.fixture(scope="session")
def talk(angry_clip, tmp_path_factory) -> Path:
    """Speech, silence, speech: some 20 seconds; the browser's microphone plays it, too."""
    waveform, rate = sf.read(angry_clip)
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    parts = [*[waveform] * 4, np.zeros(6 * rate), *[waveform] * 3]
    sf.write(path, np.concatenate(parts), rate)
    return path


@pytest.fixture
def used_model(monkeypatch) -> Iterator[FairLock]:
    """Every request waits for another one, which has this lock."""
    lock, enter = FairLock(), FairLock.__enter__

    def enter_behind(self) -> None:
        if self is not lock:
            enter(lock)
            lock.__exit__()
        enter(self)

    enter(lock)
    monkeypatch.setattr(FairLock, "__enter__", enter_behind)
    yield lock
    if lock._serving == 0:
        lock.__exit__()


@pytest.fixture(scope="session")
def browser(talk) -> Iterator[Any]:
    """Chromium; only modules that are skipped where it is not installed ask for it."""
    from scripts.make_screenshots import chromium

    with chromium(voice=talk) as driver:
        yield driver
