"""The `execution.Executor` that runs on Ray, on one machine or a cluster.

If `RAY_ADDRESS` is set, that cluster is used, and this process must run on one of its nodes.
Otherwise a Ray for this run only is started, bound to loopback, and stopped again.

Ray is imported inside functions: it reads the environment that `cluster` prepares when it is
imported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from electra_pipeline.on_ray.connection import LOCAL, connect
from electra_pipeline.on_ray.executor import RayExecutor

__all__ = ["RayExecutor", "cluster"]


@contextmanager
def cluster(address: str | None = None) -> Iterator[RayExecutor]:
    """Provide an executor on the Ray at `address` (default: `RAY_ADDRESS`, else a new local Ray).

    The first work starts Ray, or connects to it. Leaving the block disconnects, which ends all
    running work: a local Ray stops, a cluster kills the work of this driver. The caller's signal
    handlers do not change. A process that is already connected to Ray uses that connection and
    leaves it open.

    Raises ValueError in one line if the address cannot be reached within 5 seconds; the first work
    raises it if Ray does not start.
    """
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    with connect(address) as connection:
        yield RayExecutor(address, connection)
