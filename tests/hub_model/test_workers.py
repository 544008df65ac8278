"""Work in other processes comes back in order, and what goes wrong there is said."""

import os
import signal

import pytest

from hub_model import workers
from hub_model.workers import WorkerError, in_processes


def numbers(first, step):
    yield from range(first, 7, step)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_results_come_in_order(count):
    assert list(in_processes(numbers, count)) == list(range(7))


def test_an_error_is_that_of_the_worker():
    def failing(first, step):
        yield first
        raise ValueError("clip 3 is damaged")

    results = in_processes(failing, 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="clip 3 is damaged"):
        next(results)


def test_a_killed_worker_is_an_error_of_one_line(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE_S", 0.2)

    def killed(first, step):
        os.kill(os.getpid(), signal.SIGKILL)
        yield first

    with pytest.raises(WorkerError, match="exit code -9") as error:
        list(in_processes(killed, 2))
    assert "\n" not in str(error.value)
