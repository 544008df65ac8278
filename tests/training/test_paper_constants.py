"""Constants of the paper in configs/ and in the defaults of the training settings."""

from typing import Any

import pytest

from speech_emotion.baselines.classical import CLASSIFIERS
from speech_emotion.training.baseline_config import CONFIGS, Cnn1dConfig, MobileNetConfig
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.parsing import read_config
from tests.helpers.training_runs import ROOT

TABLE_7 = {
    "num_train_epochs": 6,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "warmup_steps": 500,
}


def given(name: str) -> dict[str, Any]:
    return read_config(ROOT / "configs" / f"{name}.yaml")


def settings(name: str) -> Any:
    """The settings of a config, with the defaults of its kind."""
    found = given(name)
    kind = CONFIGS[found["family"]] if "family" in found else TrainConfig
    return kind(**found)


@pytest.mark.parametrize("name", [None, "hubert", "hubert_bert"])
def test_table_7(name):
    """Both models of the paper are trained with these; they stand in their configs as well."""
    config = settings(name) if name else TrainConfig()
    assert {key: getattr(config, key) for key in TABLE_7} == TABLE_7
    assert config.lr_scheduler_type == "linear"
    if name:
        assert {key: given(name)[key] for key in TABLE_7} == TABLE_7


def test_the_audio_only_model_of_table_8():
    config = settings("hubert")
    assert config.stock_checkpoint and config.unfreeze == "head"
    assert config.model == {"audio_config": "facebook/hubert-base-ls960"}


def test_the_start_of_the_multimodal_model():
    """It starts from the tuned audio-only model and BERT base, and trains both (section III-D)."""
    config = settings("hubert_bert")
    assert not config.stock_checkpoint and config.unfreeze == "entire" and not config.freeze
    for protocol in ("speaker_disjoint", "paper"):
        first, second = (
            TrainConfig(**given(one) | {"protocol": protocol}) for one in ("hubert", "hubert_bert")
        )
        assert second.model["audio_config"] == first.output_dir  # tuned on the same split
        assert first.output_dir == "runs/hubert" + ("_paper" if protocol == "paper" else "")
    assert config.model["text_config"] == "google-bert/bert-base-uncased"


def test_training_does_nothing_that_table_7_does_not_name():
    for config in (settings("hubert"), settings("hubert_bert")):
        assert config.max_grad_norm == 0 and config.max_seconds >= 60
        assert config.label_smoothing_factor == config.augment == config.poor_recordings == 0
    model = settings("hubert_bert").model
    assert model["text_modality_dropout"] == model["audio_modality_dropout"] == 0
    assert settings("hubert_bert").transcripts == "whisper"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("hubert_mini", {"num_train_epochs"}),
        ("hubert_whisper", {"num_train_epochs", "stock_checkpoint", "max_seconds"}),
        ("hubert_bert_mini", {"num_train_epochs", "warmup_steps", "learning_rate"}),
        (
            "hubert_bert_whisper",
            {"num_train_epochs", "warmup_steps", "learning_rate", "max_seconds"},
        ),
    ],
)
def test_models_on_other_encoders_differ_in_what_their_configs_say(name, changed):
    paper, own = given(name.rpartition("_")[0]), given(name)
    assert {key for key in own if own[key] != paper[key]} == {"model", "output_dir", *changed}
    encoders = {"audio_config", "text_config", "use_text"}
    rest = [{k: v for k, v in one["model"].items() if k not in encoders} for one in (paper, own)]
    assert rest[0] == rest[1]


@pytest.mark.parametrize("config", [Cnn1dConfig(), settings("cnn1d")], ids=["default", "config"])
def test_table_5(config):
    """The 1-D CNN: ten epochs, dropout 0.6, L1 and L2 of the kernels (section III-C.2)."""
    assert config.num_train_epochs == 10
    assert (config.l1, config.l2, config.dropout) == (1e-6, 1e-5, 0.6)
    assert config.seconds == 3.0 and config.dense == [128, 64]
    assert (config.learning_rate, config.lr_scheduler_type) == (5e-4, "constant_with_warmup")
    assert (config.warmup_steps, config.weight_decay, config.max_grad_norm) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "shift", "gender", "share"),
    [
        ("mobilenet_v2_overlap_gender", 0.01, True, 0.05),
        ("mobilenet_v2_overlap", 0.01, False, 0.05),
        ("mobilenet_v2_gender", 1.0, True, 1.0),
        ("mobilenet_v2", 1.0, False, 1.0),
    ],
)
def test_the_four_experiments_on_mobilenet(name, shift, gender, share):
    """Section III-C.1: blocks every 10 ms or one after another; with gender or without."""
    config = settings(name)
    assert isinstance(config, MobileNetConfig)
    assert (config.block_shift, config.gender, config.clips_share) == (shift, gender, share)
    assert config.pretrained == "google/mobilenet_v2_1.0_224"


def test_the_grid_of_the_search_on_knn():
    """The search that "did not improve further" (section III-B)."""
    config = settings("knn_grid")
    assert config.classifier == "knn" and config.folds == 5
    assert config.grid == {
        "n_neighbors": [1, 3, 5, 7, 9, 11, 15, 21],
        "weights": ["uniform", "distance"],
        "p": [1, 2],
    }


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_classifiers_of_table_6_have_the_defaults_of_their_libraries(name):
    config = settings(name)
    assert (config.classifier, config.seed) == (name, 0)
    assert config.params == {} and config.grid == {}
