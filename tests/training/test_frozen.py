"""Training on cached vectors is training on clips, only faster."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hub_model.calibration import DOUBT, class_mean_logits
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.training import fit, frozen
from speech_emotion.training import run as program
from speech_emotion.training.frozen import speaker_offsets
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.pooled import PooledModel
from tests.helpers.toy_corpus import (
    AUDIO,
    STILL_AUDIO,
    STILL_MODEL,
    TEXT,
    clips,
    rows,
    write_corpus,
)
from tests.helpers.training_runs import same as same_weights
from tests.helpers.training_runs import weights

FROZEN = ["audio_model", "text_model"]
STEADY = {**STILL_MODEL, "text_modality_dropout": 0.5, "audio_modality_dropout": 0.2}
"""Nothing random but which modality is hidden."""


@pytest.fixture
def no_cache(monkeypatch):
    """Let the encoders run in every epoch."""

    def switch_off():
        monkeypatch.setattr(program, "make_head", lambda *_: None)

    return switch_off


@pytest.fixture
def comments(tmp_path):
    """A tiny GoEmotions with a comment for every emotion, and two neutral ones."""
    names = ["anger", "relief", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]
    lines = [f"so much {name}\t{i}\tid{i}" for i, name in enumerate(names)]
    lines.append("a plain sentence\t7\tid8")
    (tmp_path / "comments").mkdir()
    (tmp_path / "comments" / "labels.txt").write_text("\n".join(names))
    for split in ("train", "dev"):
        (tmp_path / "comments" / f"{split}.tsv").write_text("\n".join(lines))
    return str(tmp_path / "comments")


def count_passes(monkeypatch):
    """Count the clips that go through the speech encoder."""
    seen = []
    audio = frozen._Encoder.audio
    monkeypatch.setattr(
        frozen._Encoder, "audio", lambda self, some: seen.extend(some) or audio(self, some)
    )
    return seen


def heads_made(monkeypatch):
    """Keep what is trained in the place of the whole model."""
    made = []
    make_head = program.make_head
    monkeypatch.setattr(
        program, "make_head", lambda *args: made.append(make_head(*args)) or made[-1]
    )
    return made


def same(one, other, **tolerance):
    for first, second in zip(one, other, strict=True):
        assert second == pytest.approx(first, **tolerance)


@pytest.mark.parametrize(
    "model",
    [
        STEADY,
        STEADY | {"missing_text": "learned"},
        STEADY | {"audio_pooling": "mean_std"},
        STEADY | {"use_weighted_layer_sum": True},
        STEADY | {"concatenate_layers": True, "audio_pooling": "mean_std"},
    ],
    ids=["mean", "learned", "mean_std", "layers", "concatenated"],
)
def test_the_cache_changes_no_loss(run, tmp_path, no_cache, model):
    settings = {"freeze": FROZEN, "model": model, "max_seconds": 1.0, "learning_rate": 1e-2}
    cached = run("cached", **settings)
    no_cache()
    same(run("whole", **settings), cached, abs=1e-5)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cached"))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


def test_an_audio_only_model_is_cached_as_well(run, no_cache):
    model = {"audio_config": STILL_AUDIO, "audio_dropout": 0.0}
    settings = {"unfreeze": "head", "stock_checkpoint": True, "model": model, "max_seconds": 1.0}
    cached = run("cached", **settings)
    no_cache()
    same(run("whole", **settings), cached, abs=1e-5)


def test_comments_are_shown_as_without_the_cache(run, no_cache, comments):
    pairs = {"comments": comments, "matched": 0.4, "neutral": 0.3}
    settings = {"freeze": FROZEN, "model": STEADY, "max_seconds": 1.0, "text_pairs": pairs}
    cached = run("cached", **settings)
    no_cache()
    same(run("whole", **settings), cached, abs=1e-5)


def test_each_clip_is_heard_once_whatever_the_epochs_runs_and_seeds(run, monkeypatch, tmp_path):
    seen = count_passes(monkeypatch)
    settings = {"freeze": FROZEN, "max_seconds": 1.0, "feature_cache": str(tmp_path / "shared")}
    run("model", num_train_epochs=3, **settings)
    assert len(seen) == 12 + 4
    run("again", num_train_epochs=1, learning_rate=1e-2, **settings)
    run(
        "clips",
        num_train_epochs=1,
        max_seconds=2.0,
        **{k: settings[k] for k in ("freeze", "feature_cache")},
    )
    assert len(seen) == 16
    run("other", num_train_epochs=1, seed=1, **settings)  # random weights of another seed
    assert len(seen) == 32


def test_folds_share_the_vectors(run, monkeypatch, tmp_path, whole):
    seen = count_passes(monkeypatch)
    settings = {"freeze": FROZEN, "feature_cache": str(tmp_path / "shared"), "num_train_epochs": 1}
    start = tmp_path / "start"
    HubertBertForEmotion.from_pretrained(whole[0]).save_pretrained(start)
    HubertBertProcessor.from_pretrained(whole[0], trust_remote_code=False).save_pretrained(start)
    # Saved without its training, so that it has heard nobody.
    config = HubertBertForEmotion.from_pretrained(start).config
    config.training = None
    config.save_pretrained(start)
    for fold in (0, 1, 2):
        run(f"fold_{fold}", fold=fold, init_from=str(start), max_seconds=1.0, **settings)
    assert len(seen) == 20


def test_the_encoders_run_every_epoch_when_they_must(run, monkeypatch):
    seen = count_passes(monkeypatch)
    run("text", num_train_epochs=1, freeze=["text_model"])
    run("noise", num_train_epochs=1, freeze=FROZEN, augment=1.0)
    assert not seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"standardize": True}, "standardize needs vectors .* the audio_model is trained"),
        ({"standardize": True, "freeze": FROZEN, "augment": 0.5}, "augmented on the fly"),
        ({"augment_copies": 2, "poor_recordings": 0.5}, "the audio_model is trained"),
        (
            {"augment": 0.5, "augment_copies": 2, "freeze": ["audio_model"]},
            "augment_copies needs vectors .* the text_model is trained",
        ),
        ({"speed_copies": [1.1]}, "speed_copies needs vectors .* the audio_model is trained"),
        ({"voice_copies": 0.5}, "voice_copies needs vectors .* the audio_model is trained"),
    ],
)
def test_what_needs_fixed_vectors_is_refused_without_them(run, settings, message):
    with pytest.raises(ConfigError, match=message):
        run("model", **settings)


def test_augmented_copies_are_made_once_and_drawn_anew(run, monkeypatch, tmp_path):
    seen = count_passes(monkeypatch)
    settings = {"freeze": FROZEN, "augment": 0.9, "augment_copies": 3, "num_train_epochs": 2}
    settings |= {"feature_cache": str(tmp_path / "shared"), "model": STEADY}
    first = run("first", **settings)
    assert len(seen) == 3 * 12 + 4
    heard = {waveform.tobytes() for waveform in seen}
    assert len(heard) > 30
    assert run("second", **settings) == first and len(seen) == 40
    same(first, run("third", **settings | {"feature_cache": None}), abs=1e-6)
    assert {waveform.tobytes() for waveform in seen[40:]} == heard


def test_copies_at_other_speeds_stand_beside_the_clip_itself(run, monkeypatch, tmp_path):
    seen = count_passes(monkeypatch)
    settings = {"freeze": FROZEN, "num_train_epochs": 2, "model": STEADY, "max_seconds": 1.0}
    settings |= {"feature_cache": str(tmp_path / "shared")}
    plain = run("plain", **settings)
    before = len(seen)
    assert run("speeds", **settings, speed_copies=[0.8, 1.25]) != plain
    made = sorted(len(waveform) for waveform in seen[before:])
    own = sorted(len(waveform) for waveform in seen[:12])
    assert len(made) == 24 and made[:12] == [round(size / 1.25) for size in own]
    assert made[12:] == [round(size / 0.8) for size in own]


@pytest.mark.parametrize("model", [STEADY, STEADY | {"missing_text": "learned"}])
def test_a_standardised_head_is_saved_with_its_statistics(run, tmp_path, monkeypatch, model):
    made = heads_made(monkeypatch)
    settings = {"freeze": FROZEN, "max_seconds": 1.0, "learning_rate": 1e-2, "num_train_epochs": 2}
    history = run("model", standardize=True, model=model, validation="none", **settings)
    assert history[-1]["train_loss"] != run("plain", model=model, **settings)[-1]["train_loss"]
    head = made[0]
    saved = HubertBertForEmotion.from_pretrained(tmp_path / "model").eval()
    assert saved.config.standardize_features and saved.feature_std.min() > 0
    processor = HubertBertProcessor.from_pretrained(tmp_path / "model", trust_remote_code=False)
    batch = processor(audio=clips(3), text=["Kids are talking", None, "by the door"])
    with torch.no_grad():
        whole = saved(**batch)
        vectors = {"input_values": whole.audio_embedding, "input_ids": whole.text_embedding}
        vectors["text_attention_mask"] = torch.tensor([[1], [0], [1]])
        behind = head.model.eval()(**vectors)
        alone = head.model(input_values=whole.audio_embedding)
        voice = saved(**processor(audio=clips(3)))
    torch.testing.assert_close(behind.logits, whole.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone.logits, voice.logits, atol=1e-5, rtol=1e-5)


def test_the_class_mean_logits_are_those_of_the_training_clips(run, tmp_path, monkeypatch):
    made = heads_made(monkeypatch)
    every = {"train": rows((1, 2), labels=range(7)), "validation": rows((3,)), "test": rows((4,))}
    data = str(write_corpus(tmp_path / "all", **every))
    settings = {"freeze": FROZEN, "model": STEADY, "max_seconds": 1.0, "num_train_epochs": 1}
    run("plain", data=data, **settings)
    run("heavy", data=data, corpus_weights={"ravdess": 0.5}, **settings)
    run("few", **settings)
    plain, _, few = (
        HubertBertForEmotion.from_pretrained(tmp_path / name) for name in ("plain", "heavy", "few")
    )
    clips_of = made[0].clips["train"]
    audio = torch.from_numpy(np.concatenate(clips_of.audio))
    logits = made[0].model.eval()(input_values=audio).logits.detach().numpy()
    expected = [logits[np.array(clips_of.labels) == label].mean(axis=0) for label in range(7)]
    assert np.allclose(plain.config.class_mean_logits, expected, atol=1e-5)
    equal = class_mean_logits([0, 0, 1], [[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]], weights=[1, 3, 9])
    assert equal == [[2.5, 0.0], [0.0, 1.0]]
    assert few.config.class_mean_logits is None  # clips of two emotions


def test_the_classifier_sees_vectors_of_mean_zero_and_deviation_one(run, monkeypatch):
    made = heads_made(monkeypatch)
    run("model", num_train_epochs=1, freeze=FROZEN, standardize=True)
    model, vectors = made[0].model, made[0].clips["train"]
    audio = torch.from_numpy(np.concatenate(vectors.audio))
    standard = ((audio - model.feature_mean[:32]) / model.feature_std[:32]).double()
    assert standard.mean(0).abs().max() < 1e-3
    assert standard.std(0, unbiased=False) == pytest.approx(torch.ones(32).numpy(), abs=1e-3)


def test_a_resumed_head_goes_on_bit_for_bit(run, tmp_path, monkeypatch):
    settings = {"freeze": FROZEN, "standardize": True}
    expected = run("whole", **settings)
    save_state = fit.save_state

    def stop_after_the_first_epoch(*args):
        save_state(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "save_state", stop_after_the_first_epoch)
        run("model", **settings)
    assert run("model", resume=True, **settings) == expected
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "model"))


def test_a_long_clip_is_cut_once(tmp_path, run, monkeypatch):
    seen = count_passes(monkeypatch)
    run("model", num_train_epochs=2, freeze=FROZEN, max_seconds=0.2)
    assert sorted({waveform.size for waveform in seen}) == [3200, 4800]
    assert len(seen) == 16


def test_a_clip_that_cannot_be_decoded_is_named(refusal, tmp_path, write_config):
    broken = rows((1,))
    broken[2]["audio"] = {"bytes": b"no audio", "path": "broken.flac"}
    corpus = write_corpus(tmp_path / "corpus", train=broken)
    arguments = ["--config", write_config(freeze=FROZEN), "--data", str(corpus)]
    assert "broken.flac" in refusal(
        program.main, [*arguments, "--output-dir", str(tmp_path / "model")]
    )


def test_what_is_trained_is_what_comes_after_the_encoders():
    model = HubertBertForEmotion.from_encoders(
        STILL_AUDIO, TEXT | {"vocab_size": 20}, missing_text="learned"
    )
    head = PooledModel.of(model)
    assert {name for name, _ in head.named_parameters()} == {
        "classifier.weight",
        "classifier.bias",
        "missing_text",
    }
    assert head.classifier.weight is model.classifier.weight
    assert AUDIO["hidden_size"] + TEXT["hidden_size"] == head.classifier.in_features


def test_voice_copies_lack_the_offset_of_their_speaker(run, monkeypatch):
    made = heads_made(monkeypatch)
    settings = {"freeze": FROZEN, "model": STEADY, "max_seconds": 1.0, "num_train_epochs": 1}
    plain = run("plain", **settings)
    assert run("half", voice_copies=0.5, **settings)[-1]["train_loss"] != plain[-1]["train_loss"]
    run("all", voice_copies=1.0, **settings)
    whole, half, centred = (head.clips["train"] for head in made)
    assert not whole.offsets and "validation" in made[0].clips
    assert made[2].clips["validation"].voice_copies == 0
    for index, offset in enumerate(centred.offsets):
        as_it_is = whole[index]["audio"]
        assert np.array_equal(centred[index]["audio"], as_it_is - offset)
        drawn = [half[index]["audio"] for _ in range(20)]
        shown = {vector.tobytes() for vector in drawn}
        assert shown == {as_it_is.tobytes(), (as_it_is - offset).tobytes()}


def test_the_offset_of_a_speaker_shrinks_where_clips_are_few():
    generator = np.random.default_rng(0)
    places = {"one": 4.0, "two": -4.0, "rare": 1.0}
    speakers = ["one"] * 60 + ["two"] * 60 + ["rare"]
    audio = [places[name] + generator.normal(size=(2, 3)) for name in speakers]
    everyone = np.concatenate(audio).mean(axis=0)
    offsets = speaker_offsets(audio, speakers)
    own = np.concatenate(audio[:60]).mean(axis=0)
    assert offsets[0] == pytest.approx((own - everyone) * 60 / (60 + DOUBT))
    assert offsets[-1] == pytest.approx((audio[-1].mean(axis=0) - everyone) / (1 + DOUBT))
    left = np.stack([a.mean(0) - o for a, o in zip(audio, offsets, strict=True)])
    assert (
        abs(left[:60].mean() - left[60:120].mean()) < 0.5 < 7 < abs(offsets[0] - offsets[60]).min()
    )
