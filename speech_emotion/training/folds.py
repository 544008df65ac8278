"""Training, validation and test clips of a run.

Folds are cut by the column ``fold`` of the configuration ``natural``, which keeps every speaker in
one fold. A corpus need not have every fold: those that exist are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, concatenate_datasets

from speech_emotion.training.parsing import ConfigError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The clips that a run takes from a corpus.

    Args:
        fold: this fold is the test part and the others are trained on; the splits of the corpus
            are used when not given.
        fold_corpus: the corpus whose folds are tested; those of all corpora when not given. All
            folds of the other corpora are trained on.
        corpora: corpora to train on; all when empty.
        validation: ``split`` keeps clips apart to choose the best epoch on: the validation split,
            or the next fold. ``none`` trains on them as well.
    """

    fold: int | None = None
    fold_corpus: str | None = None
    corpora: tuple[str, ...] = ()
    validation: str = "split"

    @classmethod
    def of(cls, config: object) -> "Selection":
        """Read it from any config; one without these fields uses the splits of the corpus."""
        names = ("fold", "fold_corpus", "corpora", "validation")
        given = {name: getattr(config, name) for name in names if hasattr(config, name)}
        if "corpora" in given:
            given["corpora"] = tuple(given["corpora"])
        return cls(**given)

    def parts(self, splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
        """Cut the splits of a corpus into what the run needs.

        Returns:
            ``train``; ``validation`` unless it is ``none``; ``test`` when there is a fold.

        Raises:
            ConfigError: there is no such corpus or fold, a speaker would be both in the test part
                and in another, or a part is empty.
        """
        for name in {*self.corpora, *([self.fold_corpus] if self.fold_corpus else [])}:
            if not any(name in part.unique("corpus") for part in splits.values()):
                raise ConfigError(f"no clips of the corpus {name!r}")
        parts = self._by_split(splits) if self.fold is None else self._by_fold(splits)
        for name, part in parts.items():
            if len(part) == 0:
                hint = ""
                if name == "train" and self.fold is not None and self.validation == "split":
                    hint = "; validation: none leaves it another fold"
                raise ConfigError(f"the {name} part has no clips{hint}")
        return parts

    def available_folds(self, splits: Mapping[str, Dataset]) -> list[int]:
        """Return the folds that exist, in order.

        Raises:
            ConfigError: there are fewer than two.
        """
        rows = self._pool(splits)
        tested = _column(rows, "fold")[self._in_fold_corpus(rows)]
        folds = sorted({int(fold) for fold in tested if fold is not None})
        if len(folds) < 2:
            of = f" of {self.fold_corpus}" if self.fold_corpus else ""
            raise ConfigError(f"cross-validation needs two folds{of}, there are {folds}")
        return folds

    def _by_split(self, splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
        parts = {name: self._of_corpora(splits[name]) for name in ("train", "validation")}
        if self.validation == "none":
            return {"train": concatenate_datasets([parts["train"], parts["validation"]])}
        return parts

    def _by_fold(self, splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
        folds = self.available_folds(splits)
        if self.fold not in folds:
            raise ConfigError(f"there is no fold {self.fold}; there are {folds}")
        rows = self._pool(splits)
        fold, counted = _column(rows, "fold"), self._in_fold_corpus(rows)
        test = counted & (fold == self.fold)
        held_out = np.zeros(len(rows), bool)
        if self.validation == "split":
            after = folds[(folds.index(self.fold) + 1) % len(folds)]
            held_out = counted & (fold == after)
        wanted = _among(rows, self.corpora)
        picked = {"train": wanted & ~test & ~held_out, "test": test}
        if self.validation == "split":
            picked["validation"] = held_out
        speakers = _column(rows, "speaker_id")
        both = set(speakers[test]) & set(speakers[~test])
        if both:
            raise ConfigError(
                f"{', '.join(sorted(both)[:3])}: a speaker of fold {self.fold} is in others too"
            )
        return {name: rows.select(np.flatnonzero(mask)) for name, mask in picked.items()}

    def _pool(self, splits: Mapping[str, Dataset]) -> Dataset:
        """All splits together; only recordings, since a copy may differ from its source's fold."""
        for name in ("fold", "augmentation"):
            if any(name not in part.column_names for part in splits.values()):
                raise ConfigError(f"folds need the column {name}")
        rows = concatenate_datasets(list(splits.values()))
        wanted = _among(rows, self.corpora) | (_column(rows, "corpus") == self.fold_corpus)
        original = np.array([entry is None for entry in rows["augmentation"]])
        return rows.select(np.flatnonzero(wanted & original))

    def _in_fold_corpus(self, rows: Dataset) -> np.ndarray:
        return _among(rows, (self.fold_corpus,) if self.fold_corpus else ())

    def _of_corpora(self, rows: Dataset) -> Dataset:
        if not self.corpora:
            return rows
        return rows.select(np.flatnonzero(_among(rows, self.corpora)))


def _among(rows: Dataset, corpora: tuple[str, ...]) -> np.ndarray:
    """Which rows are of these corpora; all when none is named."""
    if not corpora:
        return np.ones(len(rows), bool)
    return np.isin(_column(rows, "corpus"), corpora)


def _column(rows: Dataset, name: str) -> np.ndarray:
    return np.array(rows[name][:], dtype=object)
