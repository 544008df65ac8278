"""Fitting a model to recordings without labels: the numbers, the pipeline and the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from hub_model.calibration import class_mean_logits, fit_logit_bias
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.labels import EMOTIONS
from speech_emotion.cli.main import main
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.stock_checkpoints import save_stock_checkpoint
from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, TEXTS, encode, noise, voice
from tests.helpers.tiny_encoders import pair_processor
from tests.helpers.tiny_models import tiny_model

VOICES = [voice(1.0 + place / 4, pitch=90 + 20 * place, seed=place) for place in range(8)]
MEANS = (4 * np.eye(7)).tolist()


def clips_of(emotions, *, shift=0.0, seed=0):
    """Logits as clips of these emotions would get them from a source that adds a shift."""
    rng = np.random.default_rng(seed)
    return np.asarray(MEANS)[emotions] + rng.normal(0, 0.5, (len(emotions), 7)) + shift


def centred(shift):
    return np.asarray(shift) - np.mean(shift)


def test_the_shift_of_a_source_is_found():
    shift = np.array([3, 0, -1, 0, 0, 1, 0])
    found = fit_logit_bias(clips_of(np.arange(210) % 7, shift=shift), MEANS)
    assert np.sum(found) == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(found + centred(shift)) < 0.4 * np.linalg.norm(centred(shift))


def test_few_clips_are_believed_less():
    shift = np.array([3, 0, -1, 0, 0, 1, 0])
    sizes = [
        np.linalg.norm(fit_logit_bias(clips_of(np.arange(7 * n) % 7, shift=shift), MEANS))
        for n in (1, 3, 30)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_much_of_one_emotion_is_no_offset():
    logits = clips_of([0] * 90 + list(range(1, 7)))
    naive = centred(logits.mean(axis=0) - np.mean(MEANS, axis=0))
    assert np.linalg.norm(fit_logit_bias(logits, MEANS)) < 0.6 * np.linalg.norm(naive)


def test_means_need_a_clip_of_every_emotion():
    logits = clips_of(np.arange(14) % 7)
    means = np.asarray(class_mean_logits(np.arange(14) % 7, logits))
    np.testing.assert_allclose(means[2], logits[[2, 9]].mean(axis=0))
    assert class_mean_logits([0, 1], logits[:2]) is None


def test_a_config_with_other_sizes_is_refused():
    with pytest.raises(ValueError, match="logit_bias must have 7 numbers"):
        HubertBertConfig(logit_bias=[0.0])
    with pytest.raises(ValueError, match="class_mean_logits must have 7 rows of 7 numbers"):
        HubertBertConfig(class_mean_logits=[[0.0] * 7])


def test_a_config_of_the_first_release_still_loads():
    config = HubertBertConfig(logit_shift=[1.0] + [0.0] * 6, emotion_logits=MEANS)
    assert config.logit_bias[0] == -1.0
    assert config.class_mean_logits == MEANS
    assert not {"logit_shift", "emotion_logits"} & set(config.to_dict())


@pytest.fixture
def calibrated(model_folder, tmp_path) -> Path:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    classifier = load(folder)
    classifier.calibrate(VOICES[:7], EMOTIONS)
    config = json.loads((folder / "config.json").read_text())
    config["class_mean_logits"] = classifier.model.config.class_mean_logits
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def logits(classifier, clips, **options):
    rows = [{e["label"]: e["score"] for e in row} for row in classifier(clips, **options)]
    return np.log([[row[name] for name in EMOTIONS] for row in rows])


def test_the_pipeline_adds_the_bias_to_what_it_hears(calibrated):
    classifier = load(calibrated)
    classifier.model.config.temperature = 10.0  # so that no probability is the highest there is
    before = logits(classifier, list(CLIPS), text=TEXTS)
    said = classifier(CLIPS[0], text=TEXTS[0], contributions=True)["contributions"]["text"]
    bias = classifier.adapt(VOICES)
    assert list(bias) == list(EMOTIONS)
    assert classifier.model.config.logit_bias == list(bias.values())
    moved = 10 * (logits(classifier, list(CLIPS), text=TEXTS) - before)
    expected = np.array(list(bias.values()))
    for row in moved:
        np.testing.assert_allclose(centred(row), centred(expected), atol=1e-4)
    alone = classifier(CLIPS[0], text=TEXTS[0], contributions=True)["contributions"]["text"]
    assert alone == said
    # What was added before does not count again.
    assert classifier.adapt(VOICES) == pytest.approx(bias, abs=1e-4)


def test_calibrating_an_adapted_model_notes_the_same(calibrated):
    classifier = load(calibrated)
    before = classifier.model.config.class_mean_logits
    classifier.adapt(VOICES)
    classifier.calibrate(VOICES[:7], EMOTIONS)
    np.testing.assert_allclose(classifier.model.config.class_mean_logits, before, atol=1e-4)


def test_a_long_recording_counts_as_several(calibrated):
    classifier = load(calibrated)
    long, short = classifier.adapt([voice(30)]), classifier.adapt([voice(3)])
    size = {name: np.linalg.norm(list(one.values())) for name, one in (("l", long), ("s", short))}
    assert size["l"] > 1.5 * size["s"]


def test_what_cannot_be_used_is_left_out(calibrated):
    classifier = load(calibrated)
    wrong: list[str] = []
    found = classifier.adapt([VOICES[0], "missing.wav", noise(3)], on_error=wrong.append)
    assert wrong == ["missing.wav: no such file"]
    assert found == pytest.approx(classifier.adapt([VOICES[0]]), abs=1e-4)
    with pytest.raises(ValueError, match="there is no speech in any"):
        classifier.adapt([noise(3)])


def test_a_model_that_was_not_calibrated_says_so(classifier):
    with pytest.raises(ValueError, match="calibrate it first, with clips of every emotion"):
        classifier.adapt(VOICES)


def test_the_command(calibrated, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for place, clip in enumerate(VOICES):
        (folder / f"{place}.wav").write_bytes(encode(clip, subtype="FLOAT"))
    out = tmp_path / "adapted"
    asked = ["adapt", str(folder), "--model", str(calibrated), "--out", str(out)]
    assert main(asked) == 0
    assert "adapted to 8 of 8 recordings" in capsys.readouterr().out
    expected = load(calibrated).adapt(sorted(map(str, folder.iterdir())))
    adapted = load_classifier(out, transcriber="none")
    assert adapted.model.config.logit_bias == pytest.approx(list(expected.values()), abs=1e-4)
    assert json.loads((calibrated / "config.json").read_text()).get("logit_bias") is None
    assert "adapted to the recordings of one source" in (out / "README.md").read_text()
    results = tmp_path / "results.json"
    results.write_text('{"benchmark": "ravdess", "rows": []}')
    push = ["push", "--model", str(out), "--repo", "me/mine", "--dry-run"]
    assert main([*push, "--results", str(results)]) == 2
    assert "has been adapted since" in capsys.readouterr().err
    for model, answer in ((calibrated, False), (out, True)):
        assert main(["info", str(model), "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["adapted"] is answer

    assert main(asked) == 2
    assert "exists already" in capsys.readouterr().err
    (folder / "broken.wav").write_bytes(b"not audio")
    assert main([*asked[:-1], str(tmp_path / "again")]) == 1
    printed = capsys.readouterr()
    assert "adapted to 8 of 9 recordings" in printed.out
    assert printed.err.count("\n") == 1 and "broken.wav" in printed.err


def test_the_command_without_means(model_folder, tmp_path, capsys):
    path = tmp_path / "a.wav"
    path.write_bytes(encode(VOICES[0], subtype="FLOAT"))
    asked = ["adapt", str(path), "--model", str(model_folder), "--out", str(tmp_path / "out")]
    assert main(asked) == 2
    assert "calibrate it first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_stock_classifier_is_calibrated_and_adapted(tmp_path, capsys):
    stock, out, weights = tmp_path / "stock", tmp_path / "out", tmp_path / "weights"
    model = tiny_model(use_text=False, cleaning={"denoise": False})
    save_stock_checkpoint(model, pair_processor("hubert-base", "bert"), stock)
    rows = []
    for index, clip in enumerate(VOICES):
        (tmp_path / f"{index}.wav").write_bytes(encode(clip, subtype="FLOAT"))
        rows.append(f"{index}.wav,{EMOTIONS[index % len(EMOTIONS)]}")
    table = tmp_path / "clips.csv"
    table.write_text("\n".join(["path,emotion", *rows]))
    before = load_classifier(stock, check_speech=False)

    assert main(["calibrate", str(table), "--model", str(stock)]) == 0
    calibrated = load_classifier(stock, check_speech=False)
    assert calibrated.model.config.temperature != 1
    for row, old in zip(calibrated(VOICES), before(VOICES), strict=True):
        assert [entry["label"] for entry in row] == [entry["label"] for entry in old]
        assert row != old
    assert main(["adapt", str(tmp_path / "0.wav"), "--model", str(stock), "--out", str(out)]) == 0
    adapted = load_classifier(out, check_speech=False)
    assert adapted.model.config.logit_bias is not None
    card = (out / "README.md").read_text()
    assert "a stock audio classifier" in card and "adapted to the recordings of one source" in card

    # What was found goes into the weights, and the stock pipeline has it too.
    assert main(["export", "--stock", "--model", str(out), "--out", str(weights)]) == 0
    capsys.readouterr()
    plain = pipeline("audio-classification", model=str(weights))
    ours = load_classifier(weights, check_speech=False)
    for clip in VOICES[:3]:
        expected = adapted(clip)
        same(plain(clip, top_k=None), expected)
        same(ours(clip), expected)


def test_one_recording_is_a_recording_and_not_its_parts(calibrated, tmp_path):
    classifier = load(calibrated)
    file = tmp_path / "a.wav"
    file.write_bytes(encode(voice(2.0), subtype="FLOAT"))
    expected = classifier.adapt([str(file)])
    for one in (file, str(file), file.read_bytes(), voice(2.0)):
        classifier.model.config.logit_bias = None
        assert classifier.adapt(one) == pytest.approx(expected, abs=1e-4)
    said = []
    with pytest.raises(ValueError, match="no recording can be used"):
        classifier.adapt(str(tmp_path), on_error=said.append)
    assert len(said) == 1
    with pytest.raises(ValueError, match="calibrate needs a list or data set of clips"):
        classifier.calibrate(str(file), ["sad"])
