"""The Ray cluster that spreads work over several processes or machines.

It needs ``requirements-ray.txt``.
"""

import logging
import os
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


class RayError(RuntimeError):
    """There is no cluster; the message is one line."""


class RayCluster:
    """The cluster that ``RAY_ADDRESS`` names, or one that is started on this machine.

    A node needs this project where Python finds it; the processes of a local cluster are told.

    Args:
        workers: processors of a local cluster.

    Attributes:
        ray: the module ``ray``, with ``ray.data`` imported.

    Raises:
        RayError: Ray is not installed, or its cluster cannot be reached.
    """

    ray: ModuleType

    def __init__(self, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        try:
            import ray.data
        except ImportError as error:
            raise RayError(
                "--engine ray: Ray is not installed; run pip install -r requirements-ray.txt"
            ) from error
        self.ray = ray
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
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False

    def close(self) -> None:
        """Leave the cluster, when it was joined or started here."""
        if self._started:
            self.ray.shutdown()


def _local(workers: int) -> dict[str, object]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {"num_cpus": workers, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
