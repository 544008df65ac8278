"""The GPU of a ZeroGPU Space, with a package `spaces` that runs things where it pretends to."""

import multiprocessing
import sys
import types

import gpu
import pytest


class StandIn(types.ModuleType):
    """Runs a function in a process of its own and notes how long it may take, as ZeroGPU does."""

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


def test_nothing_happens_without_a_gpu_to_lend(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not gpu.is_zero()
    assert gpu.on_gpu(parity, audio_seconds=float) is parity


def test_the_package_alone_is_no_zero_gpu(zero, monkeypatch):
    """It is installed in every Gradio Space, most of which have no such GPU."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "")
    assert gpu.on_gpu(parity, audio_seconds=float) is parity
    assert not zero.durations


def test_a_request_runs_elsewhere_and_asks_for_its_own_length(zero):
    import os

    assert gpu.is_zero()
    on_gpu = gpu.on_gpu(parity, audio_seconds=lambda number: number)
    assert on_gpu.__name__ == "parity"
    (short, short_process), (long, _) = on_gpu(3), on_gpu(60)
    assert (short, long) == ("odd", "even") and short_process != os.getpid()
    assert zero.durations == [gpu.duration(3), gpu.duration(60)]
    assert zero.durations[0] < zero.durations[1]


def test_an_error_arrives_as_it_was(zero):
    with pytest.raises(ValueError, match="^-1 is negative$"):
        gpu.on_gpu(parity, audio_seconds=lambda number: 1.0)(-1)


def test_no_request_asks_for_more_than_anybody_has():
    assert gpu.duration(0.0) == 5
    assert gpu.duration(1e6) == gpu.LONGEST
