"""Recordings scored on a Ray cluster with Ray Data; needs ``requirements-ray.txt``.

Every worker loads the model once and answers the same groups of recordings that one process
would answer together. The recordings must lie on storage that every node sees under the same path.
"""

import json
from collections.abc import Iterator
from typing import Any

from corpus_builder.ray_cluster import RayCluster, RayError
from speech_emotion.cli import CommandError
from speech_emotion.predict.clips import Paths
from speech_emotion.predict.loading import load_classifier

GROUP = 32
"""Recordings that one task answers; a node that dies costs no more than these."""


class RayScorer:
    """Answers recordings on the cluster that ``RAY_ADDRESS`` names, or on a local one.

    Args:
        model: folder or Hub id, as every node sees it.
        loading: keyword arguments of the pipeline's construction.
        asked: keyword arguments of its call.
        workers: processes that hold a model.

    Raises:
        CommandError: Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(
        self, model: str, loading: dict[str, Any], asked: dict[str, Any], *, workers: int
    ) -> None:
        try:
            self._cluster = RayCluster(workers)
        except RayError as error:
            raise CommandError(str(error)) from error
        self._ray = self._cluster.ray
        self._ray.data.DataContext.get_current().execution_options.preserve_order = True
        self._task = {"model": model, "loading": loading, "asked": {**asked, "num_workers": 0}}
        self._workers = workers

    def __enter__(self) -> "RayScorer":
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.close()

    def rows(self, files: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the row of every recording, in order.

        Raises:
            CommandError: the cluster failed.
        """
        if not files:
            return
        groups = [files[start : start + GROUP] for start in range(0, len(files), GROUP)]
        items = [{"files": json.dumps(group)} for group in groups]
        data = self._ray.data.from_items(items, override_num_blocks=len(items)).map(
            _Scorer,
            fn_constructor_kwargs={"task": self._task},
            compute=self._ray.data.ActorPoolStrategy(size=min(self._workers, len(items))),
            num_cpus=1,
        )
        try:
            for group in data.iter_rows():
                yield from json.loads(group["rows"])
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise CommandError(f"--engine ray: {reason}; --resume goes on") from error


class _Scorer:
    """One worker of the cluster."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._classifier = load_classifier(task["model"], **task["loading"])
        self._asked = task["asked"]

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        files = json.loads(item["files"])
        return {"rows": json.dumps(list(self._classifier(Paths(files), **self._asked)))}
