"""Ray's answer to `execution.Executor`: the same promises over a machine or a cluster.

`RAY_ADDRESS` decides where. Unset, a Ray of this run alone is started, bound to loopback, and
stopped again; set, that cluster is used, and this process has to run on one of its nodes.

Ray is imported inside functions: it reads the environment that `cluster` prepares when it is
imported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from electra_pipeline.on_ray.connection import connect
from electra_pipeline.on_ray.executor import RayExecutor

__all__ = ["RayExecutor", "cluster"]


@contextmanager
def cluster(address: str | None = None) -> Iterator[RayExecutor]:
    """An executor on the Ray at `address` (default: `RAY_ADDRESS`; else a Ray of this run alone).

    Leaving the block disconnects, which ends all work that is still running: local Ray stops, a
    cluster kills what belongs to this driver. The caller's signal handlers stay as they are. Within
    a process that is already connected to Ray, that connection is used and left open.

    Raises ValueError in one line if the address cannot be reached within 5 seconds.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    with connect(address) as connection:
        yield RayExecutor(address, connection)
