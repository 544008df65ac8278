"""The GPU of a ZeroGPU Space, with a stand-in for the package `spaces`."""

import multiprocessing
import sys
import types

import classifier
import gpu
import pytest
import torch
from classifier import Classifier
from clips import read_clip
from one_call import Shared
from timeline import run

from tests.helpers.space_server import Settings


class StandIn(types.ModuleType):
    """Runs a function in another process and records the requested GPU time, as ZeroGPU does."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.durations: list[int] = []

    def GPU(self, task, *, duration):
        def handler(*args, **kwargs):
            self.durations.append(duration(*args, **kwargs))
            context = multiprocessing.get_context("fork")
            here, there = context.Pipe()
            process = context.Process(target=lambda: there.send(task(*args, **kwargs)))
            process.start()
            there.close()
            result = here.recv()
            process.join()
            return result

        return handler


@pytest.fixture
def zero(monkeypatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "spaces", module)
    monkeypatch.setattr(gpu, "spaces", module)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return module


def parity(number: float) -> tuple[str, int]:
    import os

    if number < 0:
        raise ValueError(f"{number} is negative")
    return ("odd" if number % 2 else "even", os.getpid())


def test_without_zero_gpu_a_function_stays_as_it_is(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not gpu.is_zero()
    assert gpu.on_gpu(parity, audio_seconds=float) is parity


def test_the_package_is_not_enough(zero, monkeypatch):
    """It is installed in every Gradio Space, most of which have no such GPU."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "")
    assert gpu.on_gpu(parity, audio_seconds=float) is parity
    assert not zero.durations


def test_a_request_runs_in_another_process_for_its_own_time(zero):
    import os

    assert gpu.is_zero()
    on_gpu = gpu.on_gpu(parity, audio_seconds=lambda number: number)
    assert on_gpu.__name__ == "parity"
    (short, short_process), (long, _) = on_gpu(3), on_gpu(60)
    assert (short, long) == ("odd", "even") and short_process != os.getpid()
    assert zero.durations == [gpu.duration(3), gpu.duration(60)]
    assert zero.durations[0] < zero.durations[1]


def test_an_exception_is_raised_unchanged(zero):
    with pytest.raises(ValueError, match="^-1 is negative$"):
        gpu.on_gpu(parity, audio_seconds=lambda number: 1.0)(-1)


def product(size: int) -> float:
    return float((torch.ones(size, size) @ torch.ones(size, size)).sum())


def test_the_other_process_does_not_wait_for_threads_of_this_one(zero):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert product(400) == gpu.on_gpu(product, audio_seconds=float)(400)
    finally:
        torch.set_num_threads(before)


def test_the_requested_time_is_limited():
    assert gpu.duration(0.0) == 5
    assert gpu.duration(1e6) == gpu.LONGEST


def test_results_are_the_same_on_zero_gpu(zero, text_model, angry_clip, monkeypatch):
    clip = read_clip(angry_clip, max_seconds=60, max_megabytes=25)

    def results() -> tuple:
        one = Classifier(Settings(model=str(text_model)))
        *_, recording = run(one, angry_clip, window_s=1.0, hop_s=0.5)
        called = Shared(one)(str(angry_clip))  # as /v1/predict does
        emotions = one.classify(angry_clip, clip, text="no leave me").emotions
        return emotions, recording.to_dict(), called

    monkeypatch.setattr(classifier, "is_zero", lambda: False)  # the model stays on the CPU
    on_gpu = results()
    assert zero.durations
    monkeypatch.setattr(gpu, "spaces", None)
    assert on_gpu == results()
