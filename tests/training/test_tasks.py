"""Further heads beside the emotion: trained, saved, loaded and returned."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from corpus_builder.sources.table import TableSource
from hub_model.audio import clean_audio
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from speech_emotion.metrics import ccc
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.tasks import NO_LABEL, task_figures, task_loss
from tests.helpers.made_corpora import write_clip
from tests.helpers.sounds import CLIPS
from tests.helpers.tiny_models import tiny_model, tiny_pipeline
from tests.helpers.toy_corpus import STILL_MODEL, rows, write_corpus

TASKS = {"gender": {"weight": 0.5}, "arousal": {"column": "activation"}}
HEADS = {
    "gender": {"labels": ["female", "male"]},
    "valence": {"mean": 3.0, "std": 0.5},
}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """Tones whose label sets gender and activation; one clip of each speaker tells neither."""

    def with_columns(speakers):
        made = rows(speakers)
        for number, row in enumerate(made):
            if number % 4:
                row["gender"] = "female" if row["label"] else "male"
                row["activation"] = 1.0 + row["label"] / 2
        return made

    folder = tmp_path_factory.mktemp("described")
    parts = {"train": (1, 2, 3), "validation": (4,), "test": (5,)}
    return write_corpus(folder, **{name: with_columns(who) for name, who in parts.items()})


@pytest.mark.parametrize("frozen", [True, False])
def test_tasks_are_trained_saved_and_returned(described, tmp_path, run, frozen):
    out = tmp_path / "model"
    freeze = ["audio_model", "text_model"] if frozen else []
    settings = {"tasks": TASKS, "freeze": freeze, "num_train_epochs": 8, "model": STILL_MODEL}
    history = run("model", data=str(described), learning_rate=0.01, **settings)
    assert {"gender_ua", "arousal_ccc"} <= set(history[-1])
    config = json.loads((out / "config.json").read_text())
    assert config["tasks"]["gender"] == {"labels": ["female", "male"]}
    assert config["tasks"]["arousal"]["mean"] == pytest.approx(1 + 2.5 * 2 / 3)
    weights = load_file(out / "model.safetensors")
    assert weights["task_heads.gender.weight"].shape[0] == 2
    assert weights["task_heads.arousal.weight"].shape[0] == 1
    classifier = pipeline("audio-classification", model=str(out), trust_remote_code=True)
    row = classifier(CLIPS[0], tasks=True, text="", clean=False, check_speech=False)
    assert row["tasks"]["gender"]["label"] in ("female", "male")
    assert isinstance(row["tasks"]["arousal"]["value"], float)

    fewer = {"task_heads.gender.weight", "task_heads.gender.bias"}
    save_file({k: v for k, v in weights.items() if k not in fewer}, out / "model.safetensors")
    with pytest.raises(ValueError, match="missing keys"):
        HubertBertForEmotion.from_pretrained(out)


def test_on_frozen_encoders_tasks_leave_the_emotion_as_it_is(described, tmp_path, run):
    """The heads share the frozen vectors only, so the classifier is that of a run without them."""
    common = {"freeze": ["audio_model", "text_model"], "model": STILL_MODEL, "max_grad_norm": 0.0}
    run("with", data=str(described), tasks=TASKS, **common)
    run("without", data=str(described), **common)
    found = [load_file(tmp_path / name / "model.safetensors") for name in ("with", "without")]
    assert not any(name.startswith("task_heads") for name in found[1])
    torch.testing.assert_close(found[0]["classifier.weight"], found[1]["classifier.weight"])


def test_a_clip_without_a_value_adds_nothing():
    config = TrainConfig(tasks={"gender": {"weight": 0.5}, "valence": {"weight": 2.0}})
    outputs = {"gender": torch.randn(3, 2), "valence": torch.randn(3, 1)}
    targets = {
        "gender": torch.tensor([0, NO_LABEL, 1]),
        "valence": torch.tensor([float("nan"), 1.0, float("nan")]),
        "weight": torch.tensor([1.0, 2.0, 0.5]),
    }
    scores = outputs["gender"].log_softmax(-1)
    expected = 0.5 * -(scores[0, 0] + 0.5 * scores[2, 1]) / 3
    expected = expected + 2.0 * 2.0 * (outputs["valence"][1, 0] - 1) ** 2 / 3
    torch.testing.assert_close(task_loss(config, outputs, targets), expected)
    figures = task_figures(outputs, targets)
    assert figures["valence_ccc"] == ccc([1.0], [float(outputs["valence"][1, 0])])
    assert figures["gender_ua"] in (0.0, 0.5, 1.0)


def test_a_batch_gives_what_singles_give_and_a_recording_the_mean_of_its_windows():
    classifier = tiny_pipeline(tasks=HEADS)
    options = {"tasks": True, "text": ["leave me"] * len(CLIPS)}
    batch = classifier(list(CLIPS), batch_size=4, **options)
    for clip, row in zip(CLIPS, batch, strict=True):
        single = classifier(clip, tasks=True, text="leave me")["tasks"]
        assert row["tasks"]["valence"]["value"] == pytest.approx(single["valence"]["value"], 1e-4)
        assert row["tasks"]["gender"]["scores"] == pytest.approx(
            single["gender"]["scores"], abs=1e-4
        )
        output = classifier.model(
            **classifier.processor(audio=[clean_audio(clip)], text=["leave me"])
        ).task_outputs["valence"]
        assert single["valence"]["value"] == pytest.approx(3 + 0.5 * output.item(), abs=1e-3)
    whole = np.concatenate(CLIPS)
    row = classifier(whole, tasks=True, return_segments=True)
    assert set(row["tasks"]) == set(HEADS)
    spoken = classifier(
        whole,
        tasks=True,
        return_segments=True,
        speakers=[{"start": 0, "end": whole.size / 16_000, "speaker": "anna"}],
    )
    assert "tasks" not in spoken and set(spoken["speakers"]["anna"]["tasks"]) == set(HEADS)


def test_a_model_without_tasks_says_so():
    with pytest.raises(ValueError, match="no head but"):
        tiny_pipeline()(CLIPS[0], tasks=True, text="")


@pytest.mark.parametrize(
    "tasks", [{"a.b": HEADS["gender"]}, {"x": {}}, {"x": {"labels": ["one"]}}, {"x": {"mean": 1}}]
)
def test_a_task_that_is_neither_labels_nor_a_number_is_refused(tasks):
    with pytest.raises(ValueError, match="tasks"):
        tiny_model(tasks=tasks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": {"mood": {}}}, "no column 'mood'"),
        ({"tasks": {"dominance": {}}}, "needs two values"),
        ({"tasks": {"gender": {"wait": 1}}}, "column and weight"),
        ({"tasks": {"gender": {"weight": 0}}}, "must be positive"),
        ({"tasks": {"gender": {}}, "stock_checkpoint": True}, "one head"),
        ({"model": {"tasks": HEADS}}, "key of its own"),
    ],
)
def test_tasks_that_cannot_be_trained_are_one_line(described, tmp_path, run, settings, message):
    with pytest.raises(ConfigError, match=message):
        run("model", data=str(described), **settings)


def test_a_table_may_tell_dimensions_and_traits(tmp_path):
    write_clip(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_text(
        "path,emotion,speaker,valence,activation,openness,neuroticism\na.wav,sad,x,1.5,2,0.25,\n"
    )
    (item,) = TableSource(tmp_path / "t.csv").read()
    assert (item.valence, item.activation, item.openness) == (1.5, 2.0, 0.25)
    assert item.neuroticism is None and item.extraversion is None
