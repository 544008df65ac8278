import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import HubertConfig, HubertModel

from hub_model.modeling_hubert_bert import HubertBertForEmotion
from recipes.mini import distill, frame_batches
from recipes.mini.distill import DistillConfig, distillation_loss
from recipes.mini.frame_batches import sample_batch
from recipes.mini.teacher import FrameCache
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.provenance import read_stages
from speech_emotion.training.saving import TrainingFailed
from tests.helpers.toy_corpus import AUDIO, MODEL, flac, tone, write_whisper

STUDENT = {key: value for key, value in AUDIO.items() if key != "model_type"}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return str(write_whisper(tmp_path_factory.mktemp("teacher") / "whisper"))


@pytest.fixture
def teach(whisper, corpus, tmp_path, fresh_accelerate):
    """Distil in this process: ``teach(name, **settings)`` writes ``tmp_path / name``."""

    def teach(name, **settings):
        return distill.distill(
            DistillConfig(
                **{
                    "data": str(corpus),
                    "output_dir": str(tmp_path / name),
                    "teacher": whisper,
                    "layers": [1, 2],
                    "student": STUDENT,
                    "per_device_train_batch_size": 4,
                    "seconds": 0.25,
                    "learning_rate": 3e-3,
                    "warmup_steps": 2,
                    **settings,
                }
            )
        )

    return teach


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_student_may_start_as_a_filterbank(teach, tmp_path):
    student = {**STUDENT, "conv_dim": [16, *STUDENT["conv_dim"][1:]], "conv_bias": True}
    history = teach("bands", max_steps=1, learning_rate=0.0, student=student, filterbank=True)
    assert history[-1]["step"] == 1
    first = HubertModel.from_pretrained(tmp_path / "bands").feature_extractor.conv_layers[0].conv
    assert not first.weight[-8:].any() and first.bias[-8:].all()
    assert first.weight[:-8].abs().sum(dim=(1, 2)).all() and not first.bias[:-8].any()


def test_a_student_that_cannot_start_so_is_refused_before_the_teacher_is_asked(teach, tmp_path):
    with pytest.raises(ConfigError, match="the student cannot be built: a filterbank needs"):
        teach("odd", student={**STUDENT, "conv_bias": False}, filterbank=True)
    assert not (tmp_path / "odd.state" / "frames").exists()


def test_the_student_comes_nearer_to_its_teacher(teach, tmp_path):
    history = teach("student", max_steps=30, save_steps=10)
    assert [row["step"] for row in history] == [10, 20, 30]
    losses = [row["loss"] for row in history]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.95 * losses[0]
    states = sorted(path.name for path in (tmp_path / "student.state").iterdir())
    assert states == ["checkpoints", "frames", "settings.json"]


def test_a_stopped_run_resumes_bit_for_bit(teach, tmp_path, monkeypatch):
    expected = teach("whole", max_steps=6, save_steps=2)
    drawn = []

    def draw_and_stop(*arguments):
        drawn.append(1)
        if len(drawn) == 6:  # steps 1 to 4 are saved, step 5 is lost
            raise KeyboardInterrupt
        return sample_batch(*arguments)

    monkeypatch.setattr(distill, "sample_batch", draw_and_stop)
    with pytest.raises(KeyboardInterrupt):
        teach("student", max_steps=6, save_steps=2)
    # A state that was killed while it was written has no history.
    half = tmp_path / "student.state" / "checkpoints" / "checkpoint_2"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert teach("student", max_steps=6, save_steps=2, resume=True) == expected
    assert len(drawn) == 6 + 2
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "student")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_may_be_prolonged_and_saved_at_other_steps(teach):
    expected = teach("whole", max_steps=7, save_steps=100, schedule_steps=9)
    teach("student", max_steps=3, save_steps=2, schedule_steps=9)
    longer = teach("student", max_steps=7, save_steps=5, schedule_steps=9, resume=True)
    assert [row["step"] for row in longer] == [2, 3, 5, 7]
    assert longer[-1] == expected[-1]


def test_a_finished_run_is_not_run_again(teach, monkeypatch):
    expected = teach("student", max_steps=2)
    monkeypatch.setattr(distill, "sample_batch", None)
    assert teach("student", max_steps=2, resume=True) == expected


def test_the_teacher_does_not_listen_twice(teach, monkeypatch):
    teach("student", max_steps=1)
    monkeypatch.setattr(distill.WhisperTeacher, "__call__", None)
    teach("student", max_steps=1, seed=1)


def test_the_student_is_a_plain_hubert_that_training_starts_from(teach, corpus, tmp_path, run):
    teach("student", max_steps=2)
    student = HubertModel.from_pretrained(tmp_path / "student")
    assert student.config.hidden_size == 32
    history = run(
        "model",
        model={**MODEL, "audio_config": str(tmp_path / "student")},
        num_train_epochs=1,
        learning_rate=1e-12,
    )
    assert len(history) == 1
    model = HubertBertForEmotion.from_pretrained(tmp_path / "model")
    for name, value in student.state_dict().items():
        torch.testing.assert_close(model.audio_model.state_dict()[name], value)


def test_the_loss_is_least_for_the_teachers_own_states():
    target = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0))
    same = distillation_loss(target, target, 1.0)
    assert same == pytest.approx(np.log1p(np.exp(-1)), abs=1e-6)
    assert distillation_loss(target, target, 0.0) == 0
    assert distillation_loss(1.1 * target, target, 1.0) > same
    assert distillation_loss(-target, target, 1.0) > distillation_loss(0 * target, target, 1.0)


def test_a_batch_holds_clips_of_about_one_length_from_their_start(whisper, tmp_path, monkeypatch):
    monkeypatch.setattr(frame_batches, "NEIGHBOURS", 2)
    config = DistillConfig(per_device_train_batch_size=1)
    extractor = distill.Wav2Vec2FeatureExtractor(do_normalize=False)
    made = [np.full(640 * n, n / 100, np.float32) for n in (30, 10, 20)]
    cache = FrameCache.build(made, distill.WhisperTeacher(whisper, [0, 2]), tmp_path / "frames")
    clips = cache.at_least(30)
    assert clips.tolist() == [2, 0]
    seen = set()
    for seed in range(10):
        generator = np.random.default_rng(seed)
        inputs, target = sample_batch(cache, clips, config, extractor, generator)
        assert inputs.shape == (1, 320 * target.shape[1]) and target.shape[2:] == (2, 16)
        index = 2 if target.shape[1] == 40 else 0
        assert torch.equal(target[0], torch.from_numpy(cache.cut(index, 0, cache.frames(index))[1]))
        seen.add(target.shape[1])
    assert seen == {40, 60}
    pair = DistillConfig(per_device_train_batch_size=2)
    sizes = {
        sample_batch(cache, clips, pair, extractor, np.random.default_rng(seed))[1].shape[1]
        for seed in range(10)
    }
    assert 40 in sizes


def test_only_the_student_hears_the_distortion(whisper, tmp_path):
    made = [np.full(3200, 0.5, np.float32)]
    cache = FrameCache.build(made, distill.WhisperTeacher(whisper, [1]), tmp_path / "frames")
    extractor = distill.Wav2Vec2FeatureExtractor(do_normalize=False)
    arguments = (cache, np.array([0]), DistillConfig(per_device_train_batch_size=1), extractor)
    plain, target = sample_batch(*arguments, np.random.default_rng(0))
    bent, same = sample_batch(*arguments, np.random.default_rng(0), lambda clip: -clip)
    assert torch.equal(bent, -plain) and torch.equal(target, same)


def test_each_head_reads_the_layer_it_was_given(whisper):
    teacher = distill.WhisperTeacher(whisper, [0, 2])
    still = {**STUDENT, "layerdrop": 0.0}
    config = DistillConfig(student=still, layers=[0, 2], student_layers=[0, 2], seconds=1.0)
    student = distill.build_student(config, teacher).eval()
    waveforms = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = student.encoder(waveforms, output_hidden_states=True).hidden_states
        predicted = student(waveforms)
        assert torch.equal(predicted[:, :, 0], student.heads[0](states[0]))
        assert torch.equal(predicted[:, :, 1], student.heads[1](states[2]))


@pytest.mark.parametrize(
    ("kernels", "strides", "frame"),
    [((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 1), ((640, 3, 3), (160, 1, 2), 2)],
)
def test_the_first_frames_of_student_and_teacher_hear_the_same(kernels, strides, frame):
    """A click in the middle of what the student's first frame sees is loudest in that frame."""
    settings = {**STUDENT, "conv_kernel": kernels, "conv_stride": strides}
    settings |= {"conv_dim": (16,) * len(kernels), "num_feat_extract_layers": len(kernels)}
    encoder = HubertModel(distill.HubertConfig(**settings))
    assert distill._first_frame(encoder) == frame


def test_a_student_goes_on_where_another_stopped(teach, tmp_path):
    teach("first", max_steps=2)
    teach("second", max_steps=1, init_from=str(tmp_path / "first"), learning_rate=1e-12)
    first, second = read_stages(tmp_path / "second")
    assert read_stages(tmp_path / "first") == [first] and (first["step"], second["step"]) == (2, 1)
    for name, value in weights(tmp_path / "first").items():
        torch.testing.assert_close(weights(tmp_path / "second")[name], value)


def test_a_student_can_be_made_deeper(teach, tmp_path):
    teach("first", max_steps=1)
    layers = HubertConfig.from_pretrained(tmp_path / "first").num_hidden_layers
    more = {"init_from": str(tmp_path / "first"), "student": {"num_hidden_layers": layers + 1}}
    teach("deeper", max_steps=1, learning_rate=1e-12, **more)
    assert HubertConfig.from_pretrained(tmp_path / "deeper").num_hidden_layers == layers + 1
    before, after = weights(tmp_path / "first"), weights(tmp_path / "deeper")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    new = set(after) - set(before)
    assert new and all(f"layers.{layers}." in name for name in new)


def test_a_student_can_do_without_a_corpus(teach, tmp_path):
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "one.flac").write_bytes(flac(tone(300, seconds=1.0)))
    teach(
        "student",
        data="",
        folders=[str(tmp_path / "speech")],
        max_steps=1,
        distort=1.0,
        poor_recordings=1.0,
    )
    stage = json.loads((tmp_path / "student" / "stage.json").read_text())
    assert stage["speakers"] == [] and "speech" in json.dumps(stage)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student": {**STUDENT, "hidden": 4}}, "unknown key in student: hidden"),
        ({"student": {**STUDENT, "hidden_size": 33}}, "the student cannot be built"),
        ({"student": {**STUDENT, "mask_time_length": 20}}, "seconds must be at least 0.46"),
        ({"student": {**STUDENT, "mask_time_length": 40}, "seconds": 1.0}, "no clip is as long"),
        (
            {"student": {**STUDENT, "conv_stride": (4, 2, 2, 2, 2, 2, 2)}},
            "a frame every 256 samples",
        ),
        ({"student_layers": [1]}, "one layer for each of layers"),
        ({"student_layers": [1, 2]}, "a student without layerdrop"),
        ({"student_layers": [1, 9], "student": {**STUDENT, "layerdrop": 0.0}}, "must be 0 to 2"),
        ({"seconds": 31.0}, "at most 30"),
        ({"distort": 2.0}, "distort must be 0 to 1"),
        ({"init_from": "nowhere/at-all"}, "the student cannot be built"),
        ({"teacher": "nowhere/at-all"}, "teacher nowhere/at-all: not found"),
        ({"layers": [1, 2, 3]}, "has 2 layers only"),
        ({"data": ""}, "no speech to learn from"),
    ],
)
def test_what_cannot_be_taught_is_refused(teach, offline, settings, message):
    with pytest.raises(ConfigError, match=message):
        teach("student", **settings)


def test_an_exploding_loss_stops_the_run(teach):
    with pytest.raises(
        TrainingFailed, match=r"nan in step 3; the last good checkpoint is .*student"
    ):
        teach("student", max_steps=9, save_steps=2, learning_rate=1e30, warmup_steps=1)


def test_the_command_line(refusal, whisper, corpus, tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"teacher": whisper, "layers": [1], "student": STUDENT}))
    arguments = [
        "--config",
        str(file),
        "--data",
        str(corpus),
        "--output-dir",
        str(tmp_path / "student"),
    ]
    arguments += ["--seconds", "0.25", "--batch-size", "2"]
    assert distill.main([*arguments, "--max-steps", "1"]) == 0
    assert "\nstep 1: loss " in capsys.readouterr().out
    line = refusal(distill.main, [*arguments, "--resume", "--seed", "4"])
    assert line.endswith("student.state cannot be resumed with another seed")
