import json

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperModel

from recipes.mini.teacher import FRAME, FrameCache, WhisperTeacher
from speech_emotion.training.parsing import ConfigError
from tests.helpers.toy_corpus import clips, tone, write_whisper


class Counting(WhisperTeacher):
    calls = 0

    def __call__(self, waveform):
        self.calls += 1
        return super().__call__(waveform)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("teacher") / "whisper")


@pytest.fixture
def teacher(whisper):
    return Counting(str(whisper), [1, 2])


def reference(folder, waveform, seconds):
    """The hidden states of the library's encoder, made as long as the clip."""
    encoder = WhisperModel.from_pretrained(folder).encoder.eval()
    frames = round(seconds * 50)
    encoder.config.max_source_positions = frames
    encoder.embed_positions.num_embeddings = frames
    encoder.embed_positions.weight = torch.nn.Parameter(encoder.embed_positions.weight[:frames])
    mel = WhisperFeatureExtractor()(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        states = encoder(mel.input_features[:, :, : 2 * frames], output_hidden_states=True)
    return encoder, states


@pytest.mark.parametrize("seconds", [0.5, 30.0])
def test_states_are_those_of_the_encoder_at_the_length_of_the_clip(whisper, teacher, seconds):
    waveform = tone(300, seconds=seconds)
    states = torch.from_numpy(teacher(waveform))
    assert states.shape == (round(seconds * 50), 2, 16)
    encoder, expected = reference(whisper, waveform, seconds)
    torch.testing.assert_close(states[:, 0], expected.hidden_states[1][0], atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        last = encoder.layer_norm(states[:, 1])
    torch.testing.assert_close(last, expected.last_hidden_state[0], atol=1e-5, rtol=1e-4)


def test_layer_0_is_what_goes_into_the_first_layer(whisper):
    waveform = tone(300, seconds=0.5)
    states = torch.from_numpy(WhisperTeacher(str(whisper), [0])(waveform))
    encoder, expected = reference(whisper, waveform, 0.5)
    with_positions = states[:, 0] + encoder.embed_positions.weight.detach()
    torch.testing.assert_close(with_positions, expected.hidden_states[0][0], atol=1e-5, rtol=1e-4)


def test_layers_come_in_the_order_asked_for(whisper, teacher):
    waveform = tone(300, seconds=0.2)
    both, last = teacher(waveform), WhisperTeacher(str(whisper), [2])(waveform)
    assert last.shape == (10, 1, 16)
    np.testing.assert_array_equal(both[:, 1:], last)


def test_a_frame_that_is_begun_counts(teacher):
    assert teacher(tone(300, seconds=0.5)[: 10 * FRAME + 1]).shape[0] == 11


def test_teachers_that_cannot_teach_are_refused(whisper, tmp_path):
    with pytest.raises(ConfigError, match="has 2 layers only"):
        WhisperTeacher(str(whisper), [3])
    with pytest.raises(ConfigError, match="nowhere: not found"):
        WhisperTeacher(str(tmp_path / "nowhere"), [1])


def test_waveform_and_states_of_a_stretch_belong_together(teacher, tmp_path):
    made = clips(3)
    cache = FrameCache.build(made, teacher, tmp_path / "frames")
    assert [cache.frames(i) for i in range(len(cache))] == [clip.size // FRAME for clip in made]
    waveform, states = cache.cut(1, 4, 6)
    assert waveform.shape == (6 * FRAME,) and states.shape == (6, 2, 16)
    np.testing.assert_allclose(waveform, made[1][4 * FRAME : 10 * FRAME], atol=1e-3)
    index = json.loads((tmp_path / "frames" / "index.json").read_text())
    restored = states * index["std"] + index["mean"]
    np.testing.assert_allclose(restored, teacher(made[1])[4:10], atol=3e-3)


def test_states_are_standardised_over_all_clips(teacher, tmp_path):
    cache = FrameCache.build(clips(3), teacher, tmp_path / "frames")
    states = np.concatenate([cache.cut(i, 0, cache.frames(i))[1] for i in range(len(cache))])
    np.testing.assert_allclose(states.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(states.std(0), 1, atol=0.05)


def test_long_clips_can_be_asked_for(teacher, tmp_path):
    cache = FrameCache.build(clips(3), teacher, tmp_path / "frames")
    frames = [cache.frames(i) for i in range(3)]
    assert cache.at_least(frames[1]).tolist() == sorted([1, 2], key=frames.__getitem__)
    assert cache.at_least(frames[2] + 1).size == 0


def test_the_teacher_listens_again_only_when_something_changed(whisper, teacher, tmp_path):
    folder = tmp_path / "frames"
    FrameCache.build(clips(3), teacher, folder)
    assert teacher.calls == 3
    FrameCache.build(clips(3), teacher, folder)
    assert teacher.calls == 3
    FrameCache.build(clips(4), teacher, folder)
    assert teacher.calls == 7
    other = Counting(str(whisper), [2])
    assert FrameCache.build(clips(4), other, folder).cut(0, 0, 5)[1].shape == (5, 1, 16)
    assert other.calls == 4


def test_a_killed_build_is_done_again(teacher, tmp_path, monkeypatch):
    folder = tmp_path / "frames"
    FrameCache.build(clips(2), teacher, folder)

    def stop(self, waveform):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Counting, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            FrameCache.build(clips(3), teacher, folder)
    teacher.calls = 0
    assert len(FrameCache.build(clips(2), teacher, folder)) == 2
    assert teacher.calls == 2


def test_silence_from_everyone_is_refused(teacher, tmp_path):
    with pytest.raises(ConfigError, match="no speech to learn from"):
        FrameCache.build([], teacher, tmp_path / "frames")
