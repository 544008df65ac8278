import numpy as np
import pytest
import soundfile

from corpus_builder.audit import LeakError, audit, require_no_leak
from hub_model.audio import audio_hash, load_audio


def row(name, speaker, **changes):
    return {
        "utterance_id": name,
        "source_id": name,
        "speaker_id": speaker,
        "audio_hash": f"hash of {name}",
        "sentence_id": "kids",
        "augmentation": None,
    } | changes


def clean_splits():
    return {
        "train": [row("a", "1"), row("b", "2")],
        "validation": [row("c", "3")],
        "test": [row("d", "4")],
    }


def leaks(splits, config="speaker_disjoint"):
    return [(item.what, item.splits) for item in audit(splits, config=config) if item.is_leak]


def test_a_clean_split_passes_and_says_what_it_has():
    findings = audit(clean_splits(), config="speaker_disjoint")
    require_no_leak(findings, config="speaker_disjoint")
    assert {item.what for item in findings if item.count} == {"sentence"}


PLANTED = {
    "speaker": row("x", "4"),
    "source recording": row("x", "5", source_id="d", augmentation='{"gain": 1}'),
    "duplicate recording": row("x", "5", audio_hash="hash of d"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_each_planted_leak_is_caught(what):
    splits = clean_splits()
    splits["train"].append(PLANTED[what])
    assert leaks(splits) == [(what, ("train", "test"))]
    with pytest.raises(LeakError, match=f"speaker_disjoint: leak: {what} in train and test: 1"):
        require_no_leak(audit(splits, config="speaker_disjoint"), config="speaker_disjoint")


def test_a_re_encoded_duplicate_is_caught(tmp_path, sound):
    samples = (sound("a") * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    soundfile.write(tmp_path / "b.flac", samples, 16_000)
    soundfile.write(tmp_path / "c.aiff", samples, 16_000, subtype="PCM_24")
    hashes = [audio_hash(load_audio(path)) for path in sorted(tmp_path.iterdir())]
    splits = {
        split: [row(split, split, audio_hash=found)]
        for split, found in zip(("train", "validation", "test"), hashes, strict=True)
    }
    assert leaks(splits) == [
        ("duplicate recording", pair)
        for pair in (("train", "validation"), ("train", "test"), ("validation", "test"))
    ]


def test_a_copy_of_a_test_clip_in_validation_is_a_leak_in_paper_too():
    splits = clean_splits()
    copy = row("d2", "4", source_id="d", augmentation='{"gain": 1}')
    splits["validation"].append(copy)
    assert leaks(splits, "paper") == [("source recording", ("validation", "test"))]


def test_paper_may_have_copies_across_train_and_validation_only():
    splits = clean_splits()
    splits["validation"].append(row("a2", "1", source_id="a", augmentation='{"gain": 1}'))
    assert leaks(splits, "paper") == []
    assert ("source recording", ("train", "validation")) in leaks(splits)
    assert ("augmented clip", ("validation",)) in leaks(splits)


def test_natural_may_hold_no_copies_at_all():
    splits = clean_splits()
    splits["train"].append(row("a2", "1", source_id="a", augmentation='{"gain": 1}'))
    assert leaks(splits, "natural") == [("augmented clip", ("train",))]


def test_a_speaker_in_two_folds_is_caught():
    splits = clean_splits()
    splits["train"] = [row("a", "1", fold=0), row("b", "1", fold=1)]
    assert leaks(splits, "natural") == [("speaker in two folds", ("train", "validation", "test"))]


def test_a_leak_into_validation_is_caught():
    splits = clean_splits()
    splits["validation"].append(row("x", "1"))
    assert leaks(splits) == [("speaker", ("train", "validation"))]


def test_paper_has_its_speakers_everywhere_and_nothing_else():
    splits = clean_splits()
    splits["train"].append(PLANTED["speaker"])
    assert leaks(splits, "paper") == []
    splits["train"] += [PLANTED["source recording"], PLANTED["duplicate recording"]]
    assert ("source recording", ("train", "test")) in leaks(splits, "paper")
    assert ("duplicate recording", ("train", "test")) in leaks(splits, "paper")


def test_an_augmented_clip_outside_train_is_caught():
    splits = clean_splits()
    splits["test"].append(row("d2", "4", source_id="d", augmentation='{"gain": 1}'))
    assert leaks(splits) == [("augmented clip", ("test",))]


def test_a_clip_listed_twice_is_caught():
    splits = clean_splits()
    splits["train"].append(row("a", "1"))
    assert [what for what, _ in leaks(splits)] == ["clip listed twice"]


def test_unknown_sentences_do_not_count_as_shared():
    splits = {name: [row(name, name, sentence_id=None)] for name in ("train", "test")}
    assert all(item.count == 0 for item in audit(splits, config="speaker_disjoint"))
