import json
import random
from collections import Counter

import pytest

from corpus_builder.balancing import PAPER_TARGETS, down_sample, rarest_labels, targets
from corpus_builder.build import BuildConfig, build
from corpus_builder.shards import read_rows
from corpus_builder.sources import Ravdess
from corpus_builder.splits import paper
from hub_model.audio import Cleaning
from hub_model.labels import EMOTIONS
from tests.helpers.made_rows import clip, ravdess


def test_the_papers_targets_hold_where_the_corpus_is_as_large():
    sizes = dict.fromkeys(EMOTIONS, 1500) | {"angry": 2364, "calm": 154, "happy": 2014}
    assert targets(sizes) == dict.fromkeys(EMOTIONS, 2000) | PAPER_TARGETS


def test_a_small_corpus_is_balanced_to_its_largest_class():
    assert targets({"angry": 96, "calm": 60}) == {"angry": 96, "calm": 96}
    assert targets({"angry": 122, "calm": 121}) == {"angry": 122, "calm": 121}
    assert targets({"angry": 1000, "calm": 990, "sad": 989})["sad"] == 1000


def test_a_target_that_is_asked_for_is_met_exactly():
    assert targets({"angry": 96, "calm": 60}, target=61) == {"angry": 61, "calm": 61}


def test_leaving_out_starts_with_the_largest_corpora():
    clips = [
        clip(corpus, 1, "male", "angry", i)
        for corpus, count in (("savee", 5), ("tess", 40), ("crema_d", 100))
        for i in range(count)
    ]
    kept = down_sample(clips, 65, rng=random.Random(0))
    assert Counter(item.corpus for item in kept) == {"savee": 5, "tess": 30, "crema_d": 30}
    assert len(down_sample(clips, 500, rng=random.Random(0))) == 145


def test_the_paper_thins_its_largest_corpus_only():
    """Tables 1 and 2: angry of the train part, 621 of CREMA-D."""
    printed = {"savee": 49, "ravdess": 151, "tess": 325, "iemocap": 854, "crema_d": 621}
    clips = [
        clip(corpus, 1, "male", "angry", take)
        for corpus, count in (printed | {"crema_d": 985}).items()
        for take in range(count)
    ]
    kept = down_sample(clips, 2000, rng=random.Random(0), thin="largest")
    assert Counter(item.corpus for item in kept) == printed


def test_the_rarest_classes_get_noise():
    clips = ravdess([1]) + [clip("tess", 1, "female", n, i) for n in EMOTIONS[2:] for i in range(9)]
    assert rarest_labels(clips) == {"angry", "calm"}


def test_what_needs_no_balancing_is_split_as_without():
    clips = ravdess(range(1, 25))
    assert paper(clips, seed=42, balance=lambda train: list(train)) == paper(clips, seed=42)


@pytest.fixture(scope="module")
def lopsided(write, names, tmp_path_factory):
    """Few calm clips, default settings; built in this process and on two others."""
    root = write(tmp_path_factory.mktemp("raw"), names(range(1, 9), emotions=[3, 4, 5, 6, 7, 8]))
    write(root, names(range(1, 9), emotions=[2], statements=[1]))
    outs = []
    for workers in (1, 2):
        out = tmp_path_factory.mktemp("built") / "corpus"
        report = build(
            [Ravdess(root)],
            BuildConfig(out=out, workers=workers),
        )
        outs.append((out, report))
    return outs


def test_only_train_is_balanced_and_copies_say_where_they_come_from(lopsided):
    (out, report), _ = lopsided
    splits = read_rows(out, "speaker_disjoint")
    assert set(Counter(row["label"] for row in splits["train"]).values()) == {
        max(report["configs"]["natural"]["splits"]["train"]["labels"].values())
    }
    originals = {row["utterance_id"]: row for row in splits["train"] if not row["augmentation"]}
    copies = [row for row in splits["train"] if row["augmentation"]]
    assert copies and {row["label"] for row in copies} == {"calm"}
    for row in copies:
        source = originals[row["source_id"]]
        same = ("label", "speaker_id", "transcript", "fold", "gender", "corpus")
        assert all(row[name] == source[name] for name in same)
        assert row["audio_hash"] != source["audio_hash"]
        assert json.loads(row["augmentation"])
    for split in ("validation", "test"):
        assert not any(row["augmentation"] for row in splits[split])


def test_natural_is_the_same_cut_without_balancing(lopsided):
    (out, _), _ = lopsided
    natural, balanced = read_rows(out, "natural"), read_rows(out, "speaker_disjoint")
    for split in ("validation", "test"):
        assert natural[split] == balanced[split]
    train = [row for row in balanced["train"] if not row["augmentation"]]
    assert {row["utterance_id"] for row in natural["train"]} == {
        row["utterance_id"] for row in train
    }
    assert {row["fold"] for rows in natural.values() for row in rows} == {0, 1, 3, 4}


def test_the_paper_protocol_has_copies_across_train_and_validation_and_says_so(lopsided):
    (out, report), _ = lopsided
    found = {
        (item["what"], *item["splits"]): item
        for item in report["configs"]["paper"]["audit"]
        if item["count"]
    }
    across = found["source recording", "train", "validation"]
    assert "after augmentation" in across["allowed"]
    for pair in (("train", "test"), ("validation", "test")):
        assert ("source recording", *pair) not in found
    assert ("duplicate recording", "train", "validation") not in found
    assert {what for what, *_ in found} <= {
        "speaker",
        "sentence",
        "source recording",
        "augmented clip",
    }
    assert "augmented copies of one recording" in (out / "README.md").read_text()
    assert not any(row["augmentation"] for row in read_rows(out, "paper")["test"])


def test_the_same_settings_give_the_same_bytes_whatever_the_processes(lopsided):
    (one, _), (two, _) = lopsided
    files = {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()}
    assert files == {p.relative_to(two): p.read_bytes() for p in two.rglob("*") if p.is_file()}


def test_a_copy_is_the_same_in_every_configuration(lopsided):
    (out, _), _ = lopsided
    rows = {}
    for config in ("speaker_disjoint", "paper"):
        for split in read_rows(out, config).values():
            rows[config] = rows.get(config, {}) | {
                row["utterance_id"]: row["augmentation"] for row in split if row["augmentation"]
            }
    shared = set(rows["speaker_disjoint"]) & set(rows["paper"])
    assert shared
    assert all(rows["speaker_disjoint"][name] == rows["paper"][name] for name in shared)


def test_a_target_may_be_larger_than_the_corpus(raw, tmp_path):
    config = BuildConfig(
        out=tmp_path / "out", cleaning=Cleaning(denoise=False), target=20, configs=("paper",)
    )
    report = build([Ravdess(raw)], config)
    splits = report["configs"]["paper"]["splits"]
    assert splits["train"]["labels"] == dict.fromkeys(EMOTIONS, 16)
    assert splits["validation"]["labels"] == dict.fromkeys(EMOTIONS, 4)
