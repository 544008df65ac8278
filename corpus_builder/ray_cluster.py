"""The adapter for Ray: it maps a function over groups on several processes or machines.

It needs ``pip install "speech-text-emotion[ray]"``.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from corpus_builder import CorpusError

ROOT = Path(__file__).resolve().parent.parent

RETRIES = 3
"""How often a worker that died is started again, and its group given out again."""

Group = TypeVar("Group")
Done = TypeVar("Done")


class RayError(CorpusError):
    """There is no cluster, or it failed; the message is one line."""


class RayCluster:
    """The cluster that ``RAY_ADDRESS`` names, or one that is started on this machine.

    Every node needs this package where Python finds it, and all data under the same path.

    Args:
        workers: processors of a local cluster.

    Raises:
        RayError: Ray is not installed, or its cluster cannot be reached.
    """

    _ray: ModuleType

    def __init__(self, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        try:
            import ray
        except ImportError as error:
            raise RayError(
                '--engine ray: Ray is not installed; run pip install "speech-text-emotion[ray]"'
            ) from error
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            local = {} if "RAY_ADDRESS" in os.environ else _local(workers)
            try:
                ray.init(
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **local,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise RayError(f"--engine ray: no cluster ({reason})") from error

    def close(self) -> None:
        """Leave the cluster, when it was joined or started here."""
        if self._started:
            self._ray.shutdown()

    def map(
        self,
        make: Callable[[], Callable[[Group], Done]],
        groups: Sequence[Group],
        *,
        workers: int | None = None,
    ) -> Iterator[tuple[int, Done]]:
        """Apply a function to every group.

        Args:
            make: called once in each worker; returns the function. It may hold what takes long to
                load. A node that dies costs the groups that it was busy with, which are done again.
            groups: the arguments.
            workers: number of workers; one per processor of the cluster when not given, and never
                more than that.

        Yields:
            the index of a group and the result, in any order.

        Raises:
            RayError: the function failed, or too many workers died.
        """
        from ray.util import ActorPool

        processors = int(self._ray.cluster_resources().get("CPU", 1))
        count = max(1, min(workers or processors, processors, len(groups)))
        worker = self._ray.remote(_Worker).options(
            num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES
        )
        pool = ActorPool([worker.remote(make) for _ in range(count)])
        try:
            yield from pool.map_unordered(
                lambda actor, item: actor.run.remote(*item), list(enumerate(groups))
            )
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RayError(f"--engine ray: {reason}") from error


class _Worker(Generic[Group, Done]):
    """One process of the cluster, with its function."""

    def __init__(self, make: Callable[[], Callable[[Group], Done]]) -> None:
        self._function = make()

    def run(self, index: int, group: Group) -> tuple[int, Done]:
        return index, self._function(group)


def _local(workers: int) -> dict[str, object]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {"num_cpus": workers, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
