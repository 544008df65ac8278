"""Work spread over a Ray cluster with Ray Data; needs ``requirements-ray.txt``.

The tasks are those that processes of one machine do, and so are their parts: the sources and the
output folder must lie on storage that every node sees under the same path.
"""

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus_builder import CorpusError
from corpus_builder.clip_store import PartTask
from corpus_builder.ray_cluster import RayCluster, RayError
from corpus_builder.workers import Workers, keep_freed_memory


class RayWorkers(Workers):
    """Spreads the work over a Ray cluster.

    The cluster is the one that ``RAY_ADDRESS`` names; without it a local one is started.

    Args:
        count: workers of a local cluster.

    Raises:
        CorpusError: Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(self, count: int) -> None:
        try:
            self._cluster = RayCluster(count)
        except RayError as error:
            raise CorpusError(str(error)) from error
        self._ray = self._cluster.ray

    def close(self) -> None:
        """Leave the cluster, when it was joined or started here."""
        self._cluster.close()

    def _finished(self, tasks: Sequence[PartTask]) -> Iterator[tuple[int, Path]]:
        rows = [{"index": i, "task": pickle.dumps(task)} for i, task in enumerate(tasks)]
        # A block a task: a lost node costs no more than the parts it was busy with.
        data = self._ray.data.from_items(rows, override_num_blocks=len(rows)).map(_run)
        try:
            for row in data.iter_rows():
                yield row["index"], Path(row["part"])
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise CorpusError(f"--engine ray: {reason}; the same command goes on") from error


def _run(row: dict[str, Any]) -> dict[str, Any]:
    keep_freed_memory()
    return {"index": row["index"], "part": str(pickle.loads(row["task"]).run())}
