"""Labels, abstention, contributions, noise, workers and calibration in the pipeline."""

import numpy as np
import pytest
import torch

from hub_model.audio import clean_audio
from hub_model.calibration import fit_temperature
from hub_model.labels import EMOTIONS, VALENCE_AROUSAL
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, TEXTS, encode, noise, tone
from tests.helpers.tiny_models import tiny_pipeline

CLIP = CLIPS[1]


def scores(row: list[dict]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in row}


def test_labels_are_merged_and_renormalised(classifier):
    whole = scores(classifier(CLIP))
    four = scores(classifier(CLIP, labels="four_class"))
    left = whole["angry"] + whole["calm"] + whole["happy"] + whole["sad"]
    assert four == pytest.approx(
        {
            "angry": whole["angry"] / left,
            "neutral": whole["calm"] / left,
            "happy": whole["happy"] / left,
            "sad": whole["sad"] / left,
        }
    )
    merged = scores(classifier(CLIP, labels={"happy": "good", "calm": "good"}, top_k=7))
    assert merged["good"] == pytest.approx(whole["happy"] + whole["calm"])
    assert sum(merged.values()) == pytest.approx(1)
    assert len(classifier(CLIP, labels=["happy", "sad"], top_k=1)) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": "six_class"}, ValueError, "no set is called 'six_class'"),
        ({"labels": ["bored"]}, ValueError, "the model has no bored"),
        ({"abstain_below": 1.5}, ValueError, "abstain_below must be 0 to 1, not 1.5"),
        ({"window_s": 3}, ValueError, "window_s needs return_segments=True"),
        ({"smoothing": 3}, ValueError, "smoothing needs return_segments=True"),
        ({"num_workers": -1}, ValueError, "num_workers must be at least 0"),
        ({"abstain": 0.5}, TypeError, "unknown option: abstain"),
    ],
)
def test_bad_options(classifier, options, error, message):
    for clips in (CLIP, [CLIP]):
        with pytest.raises(error, match=message):
            classifier(clips, **options)


def test_a_doubtful_answer_is_not_given(classifier):
    best = classifier(CLIP)[0]
    threshold = best["score"]
    sure = classifier(CLIP, abstain_below=threshold - 1e-5)
    assert (sure["label"], sure["abstained"]) == (best["label"], False)
    unsure = classifier(CLIP, abstain_below=min(1, threshold + 1e-5))
    assert (unsure["label"], unsure["abstained"]) == (None, True)
    same(unsure["emotions"], classifier(CLIP))
    # The threshold is held against what is answered, not against what was merged into it.
    merged = dict.fromkeys(EMOTIONS, "something")
    assert classifier(CLIP, labels=merged, abstain_below=1 - 1e-6)["label"] == "something"


def test_contributions_are_the_models_answers_without_a_modality(classifier):
    rows = classifier(list(CLIPS), text=TEXTS, contributions=True)
    for row, clip, text in zip(rows, CLIPS, TEXTS, strict=True):
        parts = row["contributions"]
        expected = classifier(clip, text=text or "")
        same(row["emotions"], expected)
        assert parts["fused"] == pytest.approx(scores(expected), abs=1e-4)
        assert parts["audio"] == pytest.approx(scores(classifier(clip, text="")), abs=1e-4)
        if not text:
            assert parts["text"] is None
            assert parts["moved"] == {"audio": 1.0, "text": 0.0}
            continue
        with torch.no_grad():
            logits = classifier.model(**classifier.processor(text=[text])).logits[0]
        said = dict(zip(EMOTIONS, logits.softmax(-1).tolist(), strict=True))
        assert parts["text"] == pytest.approx(said, abs=1e-4)
        moved = sum(abs(parts["fused"][k] - parts["audio"][k]) for k in EMOTIONS) / 2
        assert parts["moved"]["text"] == pytest.approx(moved)
        assert 0.001 < parts["moved"]["audio"] <= 1


def test_the_layer_of_text_without_audio_changes_nothing_else(classifier, tmp_path):
    asked = {"text": "leave me", "contributions": True}
    before = classifier(CLIP, **asked)["contributions"]
    size = classifier.model.config.text_embedding_size
    bias = torch.tensor([2.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0])
    classifier.model.set_text_only_classifier(torch.zeros(7, size), bias)
    try:
        after = classifier(CLIP, **asked)["contributions"]
        classifier.save_pretrained(tmp_path / "kept")
    finally:
        classifier.model.forget_fit()
    assert (after["audio"], after["fused"]) == (before["audio"], before["fused"])
    said = dict(zip(EMOTIONS, bias.softmax(-1).tolist(), strict=True))
    assert after["text"] == pytest.approx(said, abs=1e-4)
    assert classifier(CLIP, **asked)["contributions"] == before

    kept = load(tmp_path / "kept")
    assert kept(CLIP, **asked)["contributions"]["text"] == pytest.approx(after["text"], abs=1e-6)
    other = HubertBertForEmotion.from_pretrained(
        tmp_path / "kept", num_labels=4, ignore_mismatched_sizes=True
    )
    assert other.text_only_classifier is None and not other.config.text_only_classifier


def test_contributions_follow_the_labels(classifier):
    row = classifier(CLIP, text="leave me", contributions=True, labels="valence", top_k=1)
    for name in ("audio", "text", "fused"):
        assert set(row["contributions"][name]) == {"positive", "neutral", "negative"}
    assert len(row["emotions"]) == 1


def test_dimensions_of_a_clip_and_of_windows(classifier):
    row = classifier(CLIP, dimensions=True, labels="valence")
    whole = {r["label"]: r["score"] for r in classifier(CLIP)}
    expected = [sum(whole[k] * VALENCE_AROUSAL[k][i] for k in EMOTIONS) for i in (0, 1)]
    assert [row["dimensions"][k] for k in ("valence", "arousal")] == pytest.approx(expected)
    row = classifier(CLIP, dimensions=True, return_segments=True, check_speech=False)
    assert row["dimensions"].keys() == {"valence", "arousal", "source"}
    assert all(-1 <= line["dimensions"]["arousal"] <= 1 for line in row["windows"])


def test_noise_is_refused_unless_it_is_asked_for(classifier, tmp_path):
    path = tmp_path / "hiss.wav"
    path.write_bytes(encode(noise(2)))
    with pytest.raises(ValueError, match=r"hiss.wav: no speech was found, only noise"):
        classifier(path)
    assert len(classifier(path, check_speech=False)) == 7
    good, bad = classifier([CLIP, noise(2)])
    same(good, classifier(CLIP))
    assert bad == {"error": "audio: no speech was found, only noise"}


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("workers", [0, 2])
def test_ten_bad_clips_among_a_hundred(classifier, batch_size, workers):
    lengths = np.random.default_rng(0).uniform(0.2, 1.2, size=100)
    clips = [tone(200 + 20 * i, lengths[i], seed=i) for i in range(100)]
    bad = range(3, 100, 10)
    for place in bad:
        clips[place] = [CLIP[:100], CLIP * 0, b"no audio", "missing.wav", noise(1)][place % 5]
    rows = classifier(clips, clean=False, batch_size=batch_size, num_workers=workers)
    assert [place for place, row in enumerate(rows) if isinstance(row, dict)] == list(bad)
    for place in (0, 17, 50, 99):
        same(rows[place], classifier(clips[place], clean=False))


def test_workers_clean_as_this_process_does(classifier):
    for row, clip in zip(classifier(list(CLIPS), num_workers=2), CLIPS, strict=True):
        same(row, classifier(clip))


def test_options_at_construction(model_folder, classifier):
    fixed = load(model_folder, labels="valence", abstain_below=0.99)
    assert fixed(CLIP)["emotions"] == classifier(CLIP, labels="valence")
    assert len(fixed(CLIP, labels=["sad", "happy"])["emotions"]) == 2


# Calibration.


@pytest.fixture
def sure_of_itself():
    pipe = tiny_pipeline(seed=3)
    with torch.no_grad():
        pipe.model.classifier.weight *= 5
    return pipe


def test_calibration_fits_the_temperature_to_the_logits(sure_of_itself):
    pipe, names = sure_of_itself, ["angry", "sad", 4, "calm"]
    with torch.no_grad():
        logits = [
            pipe.model(**pipe.processor(audio=[clean_audio(clip)])).logits[0] for clip in CLIPS
        ]
    expected = fit_temperature([0, 5, 4, 1], torch.stack(logits).numpy())
    before = pipe(CLIP)
    found = pipe.calibrate([*CLIPS, CLIP[:100]], [*names, "happy"], batch_size=2)
    assert found == pytest.approx(expected, rel=1e-3)
    assert pipe.model.config.temperature == found > 1
    # Three times as many of the same clips say the same with more weight.
    assert pipe.calibrate([*CLIPS] * 3, names * 3) > found
    after = pipe(CLIP)
    assert [row["label"] for row in after] == [row["label"] for row in before]
    assert after[0]["score"] < before[0]["score"]


def test_calibration_does_not_depend_on_the_temperature_before(sure_of_itself):
    first = sure_of_itself.calibrate(list(CLIPS), ["sad"] * 4)
    assert sure_of_itself.calibrate(list(CLIPS), ["sad"] * 4) == pytest.approx(first)


@pytest.mark.parametrize(
    ("clips", "labels", "message"),
    [
        ([CLIP], ["bored"], "unknown emotion: bored; known are angry, calm"),
        ([CLIP], [7], "unknown emotion: 7"),
        ([CLIP], ["sad", "sad"], "2 labels for 1 clips"),
        ([CLIP[:100]], ["sad"], "no clip can be used"),
        ([], [], "no clip can be used"),
    ],
)
def test_calibration_that_cannot_be(sure_of_itself, clips, labels, message):
    with pytest.raises(ValueError, match=message):
        sure_of_itself.calibrate(clips, labels)
    assert sure_of_itself.model.config.temperature == 1.0


@pytest.mark.parametrize("name", ["top_k", "window_s", "hop_s", "smoothing", "abstain_below"])
def test_a_number_must_be_a_number(model_folder, name):
    with pytest.raises(ValueError, match=f"^{name} must be a number, not 'a'$"):
        load(model_folder)(CLIP, **{"return_segments": True, name: "a"})
