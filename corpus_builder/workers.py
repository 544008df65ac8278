"""Work spread over processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from corpus_builder.clip_store import PartTask
from corpus_builder.sources import CorpusError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_tasks(tasks: Sequence[PartTask], *, workers: int, what: str = "cleaning") -> list[Path]:
    """Run every task, here or spread over processes, with a progress bar.

    Args:
        tasks: independent of each other.
        workers: processes; with 1 the work is done here.
        what: name of the work, for the progress bar.

    Returns:
        The parts, in the order of the tasks.

    Raises:
        CorpusError: a worker process died.
    """
    if not tasks:
        return []
    total = sum(task.size for task in tasks)
    with tqdm(total=total, desc=what, unit="clip") as progress:
        if workers == 1 or len(tasks) < 2:
            parts = []
            for task in tasks:
                parts.append(task.run())
                progress.update(task.size)
            return parts
        # Forked children would inherit this process's threads; spawned ones start clean and
        # read the thread limits.
        context = multiprocessing.get_context("spawn")
        with (
            _one_thread_each(),
            ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool,
        ):
            futures = {pool.submit(task.run): task.size for task in tasks}
            try:
                for future in as_completed(futures):
                    future.result()
                    progress.update(futures[future])
            except BrokenProcessPool as error:
                raise CorpusError(
                    "a worker process died, perhaps for lack of memory; the same command goes on "
                    "from here, with fewer --workers if need be"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]


def _start_worker() -> None:
    """Leave stopping to the parent, and do not outlive it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let every new process compute on one thread: the processes are the parallelism."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
