"""A corpus of tones, and one tiny model of every kind that can be scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import pytest
import torch
from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor

from speech_emotion.training.baseline_config import ClassicalConfig
from speech_emotion.training.baselines import train_baseline
from tests.helpers.baseline_clips import write_baseline_corpus
from tests.helpers.made_benchmark import write_model
from tests.helpers.tiny_models import HUBERT
from tests.helpers.toy_corpus import rows, write_corpus
from tests.helpers.training_fixtures import datasets_cache, fresh_accelerate  # noqa: F401

TRAIN, TEST = (1, 2, 3, 4), (5, 6, 7)


def speakers(numbers: tuple[int, ...]) -> list[str]:
    return [f"toy-{number:02d}" for number in numbers]


def write_stock(folder: Path, labels: tuple[str, ...]) -> None:
    """A plain transformers classifier with random weights and labels of its own."""
    torch.manual_seed(0)
    settings = {name: value for name, value in HUBERT.items() if name != "model_type"}
    config = HubertConfig(**settings, id2label=dict(enumerate(labels)), num_labels=len(labels))
    HubertForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)


@pytest.fixture(scope="session")
def baseline_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_baseline_corpus(tmp_path_factory.mktemp("baselines") / "corpus")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpus/ and the models ours, leaky, stock, four and nb."""
    root = tmp_path_factory.mktemp("bench")
    labels = (0, 4, 5)
    splits = {
        "train": rows(TRAIN[:3], labels=labels),
        "validation": rows(TRAIN[3:], labels=labels),
        "test": rows(TEST, labels=labels),
    }
    for part in splits.values():
        for row in part:
            number = int(row["speaker_id"][-2:])
            row["gender"] = "female" if number % 2 else "male"
            row["intensity"] = "strong" if row["utterance_id"].endswith("1") else "normal"
            row["age"] = 20 + 10 * number
    write_corpus(root / "corpus", **splits)
    write_model(root / "ours", {"protocol": "speaker_disjoint", "speakers": speakers(TRAIN)})
    heard = speakers((*TRAIN, *TEST[:2]))
    write_model(root / "leaky", {"protocol": "speaker_disjoint", "speakers": heard})
    write_stock(
        root / "stock", ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "ps")
    )
    write_stock(root / "four", ("neu", "hap", "ang", "sad"))
    with inside(root):
        train_baseline(
            ClassicalConfig(
                family="classical",
                classifier="gaussian_nb",
                data="corpus",
                output_dir="nb",
                cache="features",
                allow_missing=True,
            )
        )
    return root


@pytest.fixture(scope="module")
def bench(made: Path) -> Iterator[Path]:
    """The same folder; the tests of a module run in it."""
    with inside(made):
        yield made


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """Work in a folder, with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "cache")
        yield
