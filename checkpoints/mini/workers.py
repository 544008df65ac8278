"""Work in other processes: results in order, few of them held, and no process left behind."""

import multiprocessing
import os
import pickle
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

CAN_FORK = sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()
"""Whether a process can be copied with its model; on macOS the system's libraries forbid it."""

PATIENCE_S = 5
"""Seconds after which a process looks whether the other one still runs."""


class WorkerError(RuntimeError):
    """A worker process ended before its work was done. The message is one line."""


def in_processes(
    produce: Callable[[int, int], Iterator[Any]], workers: int, *, ahead: int = 2
) -> Iterator[Any]:
    """Yield what several processes produce: one result of each in turn, until none has any left.

    Args:
        produce: called with the number of the process, from 0, and the number of processes.
        workers: number of processes; with 0, this one does the work.
        ahead: results that are held for each process.

    Raises:
        WorkerError: a process was killed.
    """
    if not workers:
        yield from produce(0, 1)
        return
    context: Any = multiprocessing.get_context("fork" if CAN_FORK else "spawn")
    running: dict[int, tuple[Any, Any]] = {}
    try:
        for place in range(workers):
            results = context.Queue(ahead)
            arguments = (partial(produce, place, workers), results, os.getpid())
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            running[place] = process, results
        active = list(running)
        while active:
            for place in list(active):
                kind, item = pickle.loads(_get(*running[place]))
                if kind == "error":
                    raise item
                if kind == "end":
                    active.remove(place)
                else:
                    yield item
    finally:
        for process, results in running.values():
            process.terminate()
            process.join()
            results.close()


def _get(process: Any, results: Any) -> bytes:
    while True:
        try:
            return results.get(timeout=PATIENCE_S)
        except queue.Empty:
            if not process.is_alive():
                break
    try:
        return results.get(timeout=PATIENCE_S)  # what it sent last
    except queue.Empty:
        raise WorkerError(
            f"a worker process was ended (exit code {process.exitcode}), perhaps for want of "
            "memory; fewer workers need less"
        ) from None


def _work(produce: Callable[[], Iterator[Any]], results: Any, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)  # the threads of the parent are not copied
    try:
        for item in produce():
            _put(results, ("item", item), parent)
        _put(results, ("end", None), parent)
    except Exception as error:
        _put(results, ("error", _picklable(error)), parent)


def _put(results: Any, item: tuple[str, Any], parent: int) -> None:
    # Pickled here, for a queue loses what cannot be pickled and says nothing.
    content = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
    while True:
        try:
            return results.put(content, timeout=PATIENCE_S)
        except queue.Full:
            if os.getppid() != parent:
                os._exit(1)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")
