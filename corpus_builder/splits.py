"""Train, validation and test: the paper's protocol and the speaker-disjoint one.

Both cut test off first, then validation from what is left. Balancing (paper, section III-A) comes
between the two cuts in ``paper`` and after both in ``speaker_disjoint``.
"""

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from corpus_builder import CorpusError
from corpus_builder.records import SPLITS, Clip

HELD_OUT = 0.2
"""Share that each cut holds out: 80:20, twice (paper, section III-A)."""

Splits = dict[str, list[Clip]]
Balance = Callable[[Sequence[Clip]], list[Clip]]
"""Balances training clips."""


def paper(clips: Sequence[Clip], *, seed: int, balance: Balance = list) -> Splits:
    """Cut 80:20 into train and test, then train 80:20 into train and validation, by label.

    Speakers and sentences are in all three parts: the protocol is speaker-dependent. Train is
    balanced before validation is cut from it, so copies of one clip are in both.

    Args:
        clips: all clips, in a fixed order.
        seed: decides which clips go where.
        balance: applied to train before the second cut.

    Raises:
        CorpusError: a class has too few clips to be in all three splits.
    """
    train, test = _cut_by_label(clips, seed=seed)
    train, validation = _cut_by_label(balance(train), seed=seed)
    return _ordered({"train": train, "validation": validation, "test": test}, seed=seed)


def speaker_disjoint(clips: Sequence[Clip], *, seed: int, balance: Balance = list) -> Splits:
    """Cut whole speakers off: a fifth for test, then a fifth of the rest for validation.

    Labels, genders and corpora are spread as evenly as whole speakers allow.

    Args:
        clips: all clips, in a fixed order.
        seed: decides which speakers go where.
        balance: applied to train after both cuts.

    Raises:
        CorpusError: there are fewer than three speakers.
    """
    speakers = sorted({clip.speaker_id for clip in clips})
    if len(speakers) < len(SPLITS):
        raise CorpusError(
            f"a speaker-disjoint split needs at least {len(SPLITS)} speakers; "
            f"found {len(speakers)}: {', '.join(speakers)}"
        )
    train, test = _cut_by_speaker(clips, seed=seed)
    train, validation = _cut_by_speaker(train, seed=seed)
    return _ordered({"train": balance(train), "validation": validation, "test": test}, seed=seed)


def natural(clips: Sequence[Clip], *, seed: int, balance: Balance = list) -> Splits:
    """Cut as :func:`speaker_disjoint` does and balance nothing.

    Validation and test are those of ``speaker_disjoint``. For cross-validation join the splits and
    cut by the column ``fold``.
    """
    return speaker_disjoint(clips, seed=seed)


NOT_OF_THE_PAPER = frozenset(("nemo",))
"""Corpora that the paper does not use; they are left out of its protocol."""


def clips_of(protocol: str, clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips that a protocol takes."""
    return [clip for clip in clips if protocol != "paper" or clip.corpus not in NOT_OF_THE_PAPER]


PROTOCOLS: dict[str, Callable[..., Splits]] = {
    "speaker_disjoint": speaker_disjoint,
    "paper": paper,
    "natural": natural,
}
"""The configurations of the data set; the first is the default one."""


def _cut_by_label(clips: Sequence[Clip], *, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Return (rest, held out), each class in the same proportion in both."""
    labels = [clip.label for clip in clips]
    rare = [f"{label} ({count})" for label, count in Counter(labels).items() if count < 2]
    if rare:
        raise CorpusError(f"too few clips for a stratified 80:20 cut: {', '.join(sorted(rare))}")
    try:
        rest, held_out = train_test_split(
            list(clips), test_size=HELD_OUT, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise CorpusError(
            f"too few clips for a stratified 80:20 cut: {len(clips)} of {len(set(labels))} classes"
        ) from error
    return rest, held_out


def _cut_by_speaker(clips: Sequence[Clip], *, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Return (rest, held out), no speaker in both.

    Of the folds of a stratified group split, the one whose shares of corpus, gender and label are
    closest to those of all clips is held out.
    """
    speakers = np.array([clip.speaker_id for clip in clips])
    strata = np.array([f"{clip.corpus}|{clip.gender}|{clip.label}" for clip in clips])
    num_folds = min(round(1 / HELD_OUT), len(set(speakers)))
    if max(Counter(strata.tolist()).values()) < num_folds:
        strata = np.full(len(clips), "all")  # too few clips to stratify at all
    folds = StratifiedGroupKFold(n_splits=num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strata smaller than the number of folds are expected
        candidates = [
            held_out
            for _, held_out in folds.split(np.zeros(len(clips)), strata, speakers)
            if len(held_out)
        ]
    names, codes = np.unique(strata, return_inverse=True)
    whole = np.bincount(codes, minlength=len(names)) / num_folds

    def distance(held_out: np.ndarray) -> float:
        return float(np.abs(np.bincount(codes[held_out], minlength=len(names)) - whole).sum())

    chosen = set(min(candidates, key=distance).tolist())
    rest = [clip for index, clip in enumerate(clips) if index not in chosen]
    return rest, [clip for index, clip in enumerate(clips) if index in chosen]


def _ordered(splits: Splits, *, seed: int) -> Splits:
    """Shuffle within each split, so that streaming does not yield class after class."""
    for clips in splits.values():
        clips.sort(key=lambda clip: clip.utterance_id)
        random.Random(seed).shuffle(clips)
    return splits
