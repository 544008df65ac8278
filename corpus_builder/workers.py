"""Running tasks: in this process, on processes of this machine, or on a Ray cluster."""

import ctypes
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from corpus_builder import CorpusError
from corpus_builder.clip_store import PartTask
from corpus_builder.ray_cluster import RayCluster, RayError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


MALLOC = {
    "mmap_threshold": (-3, 32 << 20),  # the largest value that glibc accepts
    "trim_threshold": (-1, 256 << 20),
    "top_pad": (-2, 64 << 20),
}
"""Parameters of ``mallopt`` (malloc.h) and their values in bytes."""


class Workers(ABC):
    """Runs tasks; a context manager that frees its resources."""

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Free the resources."""

    def run(self, tasks: Sequence[PartTask], *, what: str) -> list[Path]:
        """Run every task, with a progress bar.

        Args:
            tasks: independent of each other.
            what: label of the progress bar.

        Returns:
            The parts, in the order of the tasks.

        Raises:
            CorpusError: a worker died.
        """
        if not tasks:
            return []
        parts: dict[int, Path] = {}
        with tqdm(total=sum(task.size for task in tasks), desc=what, unit="clip") as progress:
            for index, part in self._finished(tasks):
                parts[index] = part
                progress.update(tasks[index].size)
        return [parts[index] for index in range(len(tasks))]

    @abstractmethod
    def _finished(self, tasks: Sequence[PartTask]) -> Iterator[tuple[int, Path]]:
        """Yield index and part of every task, in any order."""


class SingleProcess(Workers):
    """Runs the tasks in this process."""

    def close(self) -> None:
        """Do nothing: there are no resources."""

    def _finished(self, tasks: Sequence[PartTask]) -> Iterator[tuple[int, Path]]:
        for index, task in enumerate(tasks):
            yield index, task.run()


class Processes(Workers):
    """Runs the tasks on processes of this machine, which are started when first needed.

    Args:
        count: number of processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """Stop the processes; tasks that have not begun are dropped."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _finished(self, tasks: Sequence[PartTask]) -> Iterator[tuple[int, Path]]:
        if self._pool is None:
            # Forked children would inherit this process's threads; spawned ones start clean and
            # read the thread limits.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self._count, mp_context=context, initializer=_start_worker
            )
        with _one_thread_each():
            futures = {self._pool.submit(task.run): index for index, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise CorpusError(
                    "a worker process died, perhaps for lack of memory; run the same command again "
                    "to continue, with fewer --workers if that happens again"
                ) from error


class RayWorkers(Workers):
    """Runs the tasks on a Ray cluster, see :class:`~corpus_builder.ray_cluster.RayCluster`.

    Args:
        count: workers of a local cluster.
    """

    def __init__(self, count: int) -> None:
        self._cluster = RayCluster(count)

    def close(self) -> None:
        """Leave the cluster, when it was joined or started here."""
        self._cluster.close()

    def _finished(self, tasks: Sequence[PartTask]) -> Iterator[tuple[int, Path]]:
        try:
            yield from self._cluster.map(_ray_worker, tasks)
        except RayError as error:
            raise CorpusError(f"{error}; run the same command again to continue") from error


def _ray_worker() -> Callable[[PartTask], Path]:
    keep_freed_memory()
    return lambda task: task.run()


def make_workers(*, engine: str = "processes", workers: int = 1) -> Workers:
    """Make the workers of an engine.

    Args:
        engine: ``processes`` or ``ray``.
        workers: number of processes.

    Raises:
        CorpusError: Ray is not installed, or its cluster cannot be reached.
    """
    if engine == "ray":
        return RayWorkers(workers)
    return Processes(workers) if workers > 1 else SingleProcess()


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, up to a limit.

    The spectra of one clip take tens of MiB. By default glibc returns them to the system and
    requests them again for every clip, which takes as long as the noise reduction itself.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return  # another C library; this only affects speed
    for parameter, value in MALLOC.values():
        mallopt(parameter, value)


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent is killed."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limit every new process to one thread, as there is a process per core."""
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
