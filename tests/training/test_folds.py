import numpy as np
import pytest

from hub_model.labels import EMOTIONS
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import load_splits, open_splits
from speech_emotion.training.folds import Selection
from tests.helpers.toy_corpus import rows, write_corpus

VOICES = {"ravdess": {f"toy-{i:02d}" for i in range(1, 6)}, "tess": {"tess-01", "tess-02"}}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """RAVDESS with the folds 0, 1 and 2, and TESS with 1 and 2; one clip was augmented."""
    made = rows((1, 2, 3)) + rows((1, 2), corpus="tess")
    made.append(made[0] | {"augmentation": "{}", "utterance_id": "copy", "speaker_id": "toy-01"})
    return write_corpus(tmp_path_factory.mktemp("two") / "corpus", train=made)


def parts_of(corpus, **settings):
    return load_splits(TrainConfig(data=str(corpus), **settings), EMOTIONS)


def speakers(part):
    return set(part["speaker_id"])


@pytest.mark.parametrize("validation", ["split", "none"])
@pytest.mark.parametrize("fold_corpus", [None, "ravdess", "tess"])
def test_no_speaker_of_a_fold_is_in_train_and_nothing_is_lost(two, fold_corpus, validation):
    splits = open_splits(str(two), "natural", EMOTIONS)
    folds = Selection(fold_corpus=fold_corpus).available_folds(splits)
    tested = []
    for fold in folds:
        parts = parts_of(two, fold=fold, fold_corpus=fold_corpus, validation=validation)
        assert ("validation" in parts) == (validation == "split")
        sets = [speakers(part) for part in parts.values()]
        assert sum(map(len, sets)) == len(set.union(*sets))
        assert sum(map(len, parts.values())) == 5 * 4 + 2 * 4
        assert all(entry is None for part in parts.values() for entry in part["augmentation"])
        tested += parts["test"]["utterance_id"][:]
    assert len(tested) == len(set(tested))
    wanted = VOICES[fold_corpus] if fold_corpus else set.union(*VOICES.values())
    assert {name.rsplit("-", 2)[0] for name in tested} == wanted


def test_the_next_fold_that_exists_is_for_validation(two):
    parts = parts_of(two, fold=2, fold_corpus="tess", corpora=["ravdess", "tess"])
    assert speakers(parts["test"]) == {"tess-02"}
    assert speakers(parts["validation"]) == {"tess-01"}
    assert speakers(parts["train"]) == VOICES["ravdess"]


def test_one_actress_after_the_other(two):
    settings = {"fold_corpus": "tess", "corpora": ["tess"], "validation": "none"}
    parts = parts_of(two, fold=1, **settings)
    assert [speakers(parts[name]) for name in ("train", "test")] == [{"tess-02"}, {"tess-01"}]
    with pytest.raises(ConfigError, match="the train part has no clips; validation: none"):
        parts_of(two, fold=1, **settings | {"validation": "split"})


def test_a_corpus_is_tested_that_was_not_trained_on(two):
    parts = parts_of(two, fold=1, fold_corpus="tess", corpora=["ravdess"], validation="none")
    assert speakers(parts["train"]) == VOICES["ravdess"]
    assert speakers(parts["test"]) == {"tess-01"}


def test_without_a_fold_validation_may_be_trained_on(two):
    parts = parts_of(two, validation="none", corpora=["ravdess"])
    assert list(parts) == ["train"] and len(parts["train"]) == 12 + 4 + 1
    assert speakers(parts_of(two, corpora=["ravdess"])["train"]) == {"toy-01", "toy-02", "toy-03"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 3}, r"there is no fold 3; there are \[0, 1, 2\]"),
        ({"fold": 0, "fold_corpus": "tess"}, r"there is no fold 0; there are \[1, 2\]"),
        ({"fold": 0, "fold_corpus": "iemocap"}, "no clips of the corpus 'iemocap'"),
        ({"corpora": ["tes"]}, "no clips of the corpus 'tes'"),
    ],
)
def test_what_is_not_there_is_refused(two, settings, message):
    with pytest.raises(ConfigError, match=message):
        parts_of(two, **settings)


def test_a_speaker_in_two_folds_is_refused(tmp_path):
    made = rows((1, 2, 3))
    made[0]["fold"] = 2
    corpus = write_corpus(tmp_path / "corpus", train=made)
    with pytest.raises(ConfigError, match="toy-01: a speaker of fold 1 is in others too"):
        parts_of(corpus, fold=1)


def test_one_fold_is_no_cross_validation(tmp_path):
    made = [row | {"fold": 0} for row in rows((1, 2))]
    corpus = write_corpus(tmp_path / "corpus", train=made, validation=made[:1])
    splits = open_splits(str(corpus), "natural", EMOTIONS)
    splits.pop("test")
    with pytest.raises(ConfigError, match=r"cross-validation needs two folds, there are \[0\]"):
        Selection().available_folds(splits)


def test_limit_takes_so_many_of_each_part(two):
    parts = parts_of(two, fold=0, limit=3)
    assert {len(part) for part in parts.values()} == {3}
    assert np.all(np.array(parts["test"]["fold"]) == 0)
