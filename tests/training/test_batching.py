import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader

from speech_emotion.training import fit
from speech_emotion.training import run as program
from speech_emotion.training.batching import LengthOrder, PaddedSecondsBatches
from speech_emotion.training.data import Clips
from speech_emotion.training.parsing import ConfigError
from tests.helpers.toy_corpus import STILL_MODEL, flac, rows, tone, write_corpus

LENGTHS = np.random.default_rng(0).uniform(0.4, 8.0, 200).tolist()


def batches_of(seconds=LENGTHS, *, epoch=0, seed=0, budget=24.0, processes=1):
    order = LengthOrder(seconds, seed=seed)
    order.set_epoch(epoch)
    return PaddedSecondsBatches(order, batch_seconds=budget, processes=processes)


def test_each_clip_is_in_one_batch_and_no_batch_is_over_the_budget():
    batches = list(batches_of())
    assert sorted(clip for batch in batches for clip in batch) == list(range(200))
    for batch in batches:
        assert len(batch) * max(LENGTHS[clip] for clip in batch) <= 24.0


def test_little_of_a_batch_is_padding():
    def padded(batches):
        return sum(len(batch) * max(LENGTHS[clip] for clip in batch) for batch in batches)

    shuffled = np.random.default_rng(1).permutation(200).reshape(-1, 5)
    assert padded(batches_of()) < 1.15 * sum(LENGTHS) < 0.8 * padded(shuffled)


def test_the_order_follows_from_seed_and_epoch():
    assert list(batches_of(epoch=3)) == list(batches_of(epoch=3))
    first, second, other = batches_of(), batches_of(epoch=1), batches_of(seed=1)
    assert list(first) != list(second) and list(first) != list(other)
    assert len(first) == len(second) == len(list(second))
    # Not only the order of batches changes, but also who is in them.
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_all_processes_get_as_many_batches(processes):
    batches = list(batches_of(processes=processes))
    assert len(batches) % processes == 0
    assert sorted(clip for batch in batches for clip in batch) == list(range(200))


def test_a_single_clip_is_a_batch():
    assert list(batches_of([3.0])) == [[0]]


@pytest.fixture
def uneven(tmp_path):
    """Clips of 0.3 to 0.85 s."""
    made = rows((1, 2, 3))
    for index, row in enumerate(made):
        row["duration"] = round(0.3 + 0.05 * index, 2)
        waveform = tone(200 + 100 * row["label"], seconds=row["duration"], seed=index)
        row["audio"] = {"bytes": flac(waveform), "path": f"{index}.flac"}
    return write_corpus(tmp_path / "corpus", train=made)


SETTINGS = {
    "batch_seconds": 2.0,
    "max_seconds": 1.0,
    "gradient_accumulation_steps": 1,
    "model": STILL_MODEL,
}


def test_training_sees_every_clip_in_such_batches(run, uneven, monkeypatch):
    seen, load = [], Clips.__getitem__
    monkeypatch.setattr(Clips, "__getitem__", lambda self, i: seen.append(i) or load(self, i))
    run("model", data=str(uneven), num_train_epochs=2, **SETTINGS)
    assert sorted(seen[:12]) == sorted(seen[16:28]) == list(range(12))
    assert seen[:12] != seen[16:28]


def test_a_resumed_run_is_an_uninterrupted_one(run, uneven, monkeypatch):
    expected = run("whole", data=str(uneven), **SETTINGS)
    save_state = fit.save_state

    def stop_after_the_first_epoch(*args):
        save_state(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "save_state", stop_after_the_first_epoch)
        run("model", data=str(uneven), **SETTINGS)
    assert run("model", data=str(uneven), resume=True, **SETTINGS) == expected


@pytest.mark.parametrize("epoch", [0, 1])
def test_two_processes_share_the_batches(epoch):
    """As Accelerate deals them out: nothing is repeated and nothing left over."""
    shares = []
    for process in (0, 1):
        batches = batches_of(epoch=epoch, processes=2)
        share = BatchSamplerShard(batches, num_processes=2, process_index=process)
        loader = DataLoader(range(200), batch_sampler=share)
        shares.append([batch.tolist() for batch in loader])
        assert len(shares[-1]) == len(loader) == len(batches) / 2
    assert sorted(clip for share in shares for batch in share for clip in batch) == [*range(200)]


def test_a_corpus_must_say_how_long_its_clips_are(run, corpus, monkeypatch):
    load_splits = program.load_splits

    def without_durations(*args):
        return {name: part.remove_columns("duration") for name, part in load_splits(*args).items()}

    monkeypatch.setattr(program, "load_splits", without_durations)
    with pytest.raises(ConfigError, match="batch_seconds needs the column duration"):
        run("model", **SETTINGS)
