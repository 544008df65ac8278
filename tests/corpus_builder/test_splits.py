from collections import Counter

import pytest

from corpus_builder import CorpusError
from corpus_builder.splits import PROTOCOLS, paper, speaker_disjoint
from hub_model.labels import EMOTIONS
from tests.helpers.made_rows import clip, ravdess


def pool():
    """RAVDESS beside a corpus of two women, one of four men, and one of 90 speakers."""
    clips = ravdess(range(1, 25))
    for corpus, speakers, takes in (("tess", 2, 200), ("savee", 4, 15), ("crema_d", 90, 14)):
        for speaker in range(speakers):
            gender = {"tess": "female", "savee": "male"}.get(corpus, "fm"[speaker % 2])
            for label in EMOTIONS:
                if label != "calm":
                    clips += [clip(corpus, speaker, gender, label, i) for i in range(takes)]
    return clips


def counts(clips, key="label"):
    return Counter(getattr(item, key) for item in clips)


@pytest.mark.parametrize("protocol", PROTOCOLS.values())
def test_every_clip_is_in_one_split_and_the_seed_decides_which(protocol):
    clips = ravdess(range(1, 25))
    splits = protocol(clips, seed=1)
    assert sorted(item.utterance_id for part in splits.values() for item in part) == sorted(
        item.utterance_id for item in clips
    )
    assert splits == protocol(clips, seed=1)
    assert splits != protocol(clips, seed=2)


def test_paper_cuts_80_20_twice_by_label():
    clips = pool()
    splits = paper(clips, seed=42)
    for label, total in counts(clips).items():
        assert counts(splits["test"])[label] == pytest.approx(0.2 * total, abs=1)
        assert counts(splits["validation"])[label] == pytest.approx(0.16 * total, abs=1)
        assert counts(splits["train"])[label] == pytest.approx(0.64 * total, abs=2)


def test_paper_needs_two_clips_of_each_class():
    clips = [item for item in ravdess(range(1, 5)) if item.label != "calm"]
    with pytest.raises(CorpusError, match=r"too few clips .*: calm \(1\)"):
        paper([*clips, clip("ravdess", 1, "male", "calm", 0)], seed=42)
    with pytest.raises(CorpusError, match="too few clips .*: 14 of 7 classes"):
        paper(ravdess([1], takes=2), seed=42)


def test_speaker_disjoint_spreads_gender_and_label():
    splits = speaker_disjoint(ravdess(range(1, 25)), seed=42)
    speakers = {name: {item.speaker_id for item in part} for name, part in splits.items()}
    assert {name: len(found) for name, found in speakers.items()} == {
        "train": 16,
        "validation": 4,
        "test": 4,
    }
    for part in splits.values():
        assert len(set(counts(part, "gender").values())) == 1
        assert len(set(counts(part).values())) == 1


def test_speaker_disjoint_over_several_corpora():
    clips = pool()
    splits = speaker_disjoint(clips, seed=42)
    for name, part in splits.items():
        assert set(counts(part)) == set(EMOTIONS), name
        assert {"ravdess", "savee", "crema_d"} <= set(counts(part, "corpus")), name
    speakers = [{item.speaker_id for item in part} for part in splits.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 120
    assert len(splits["test"]) == pytest.approx(0.2 * len(clips), rel=0.25)


def test_speaker_disjoint_works_with_three_speakers_and_few_clips():
    for takes in (1, 8):
        splits = speaker_disjoint(ravdess([1, 2, 3], takes=takes), seed=42)
        assert [len({item.speaker_id for item in part}) for part in splits.values()] == [1, 1, 1]


def test_speaker_disjoint_needs_three_speakers():
    with pytest.raises(CorpusError, match="at least 3 speakers; found 2: ravdess-1, ravdess-2"):
        speaker_disjoint(ravdess([1, 2]), seed=42)


def test_rows_are_shuffled_so_that_a_stream_is_mixed():
    train = speaker_disjoint(ravdess(range(1, 25)), seed=42)["train"]
    assert len({item.label for item in train[:40]}) == len(EMOTIONS)
    assert len({item.speaker_id for item in train[:40]}) > 8
