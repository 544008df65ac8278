"""One tiny model, one of each tiny Whisper and one pipeline for the whole session."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from transformers import pipeline

from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from tests.helpers.sounds import CLIPS, TEXTS, encode
from tests.helpers.tiny_models import (
    tiny_pipeline,
    write_openai_whisper,
    write_transformers_whisper,
)


@pytest.fixture(scope="module")
def no_hub() -> Iterator[None]:
    """No test of the module may ask the Hub for anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder, as it is pushed to the Hub."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(model_folder: Path) -> SpeechTextEmotionPipeline:
    """The pipeline loaded from that folder."""
    return pipeline("audio-classification", model=str(model_folder), trust_remote_code=True)


@pytest.fixture(scope="session")
def openai_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_openai_whisper(tmp_path_factory.mktemp("openai") / "tiny.en.pt")


@pytest.fixture(scope="session")
def transformers_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transformers_whisper(tmp_path_factory.mktemp("transformers") / "whisper")


@pytest.fixture(scope="session")
def rows() -> datasets.Dataset:
    """A data set of the clips and their transcripts, as the corpus builder writes it."""
    files = [{"bytes": encode(clip, subtype="FLOAT"), "path": None} for clip in CLIPS]
    table = datasets.Dataset.from_dict({"audio": files, "transcript": list(TEXTS)})
    return table.cast_column("audio", datasets.Audio(decode=False))
