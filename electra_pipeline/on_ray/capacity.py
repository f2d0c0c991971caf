"""Capacity of a Ray cluster, and messages about missing capacity."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from electra_pipeline.core.execution import Resources, Scale
from electra_pipeline.on_ray.connection import Connection
from electra_pipeline.on_ray.placement import (
    Node,
    count_fitting,
    describe,
    gpus_per_worker,
    trial_resources,
    worker_resources,
)

logger = logging.getLogger(__name__)

# Time without a start after which a warning is logged: on an idle machine training workers start in
# ten seconds.
PLACEMENT_SECONDS = 60.0
NODE_SECONDS = 600.0  # how long a training waits for another node after one failed
POLL_SECONDS = 0.5  # interval of counting the nodes meanwhile


@dataclass(frozen=True)
class ClusterCapacity:
    """The nodes of the Ray that this process is connected to."""

    address: str
    """Address of that Ray, for messages."""
    connection: Connection = field(compare=False, repr=False)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        import ray

        with self.connection:
            alive = [node for node in ray.nodes() if node["Alive"]]
        return [
            Node(
                int(node["Resources"].get("CPU", 0)),
                node["Resources"].get("GPU", 0.0),
                int(node["Resources"].get("memory", 0)),
                node.get("Labels", {}).get("ray.io/accelerator-type"),
            )
            for node in alive
        ]

    def trial_resources(self, scale: Scale, memory_bytes: int) -> Resources:
        """Return the resources of a trial; see `placement.trial_resources`."""
        return trial_resources(
            self.nodes(), scale.cpus_per_trial, scale.gpus_per_trial, memory_bytes
        )

    def training_resources(self, scale: Scale) -> Resources:
        """Return the maximum number of CPUs of each worker, and one GPU if there are any."""
        nodes = self.nodes()
        return worker_resources(nodes, scale.workers) or Resources(1, gpus_per_worker(nodes))

    def slots(self, resources: Resources) -> int:
        """Return how many items with these resources fit on the nodes."""
        return _count(self.nodes(), resources)

    def check_workers(self, scale: Scale) -> None:
        """Raise ValueError if `scale.workers` training workers can never run at the same time."""
        nodes = self.nodes()
        if worker_resources(nodes, scale.workers) is None:
            num_gpus = gpus_per_worker(nodes)
            raise ValueError(
                f"scale.workers is {scale.workers}, each takes one "
                f"{'GPU' if num_gpus else 'CPU'}, and Ray ({self.address}) has {describe(nodes)}; "
                f"set scale.workers to at most {count_fitting(nodes, 1, num_gpus)}"
            )

    def check_fits(self, resources: Resources) -> int:
        """Return how many items with these resources fit at once; raise ValueError if none does."""
        nodes = self.nodes()
        at_once = _count(nodes, resources)
        if at_once == 0:
            raise ValueError(
                f"a task asks for {resources.num_cpus} CPUs and {resources.num_gpus:g} GPUs on one "
                f"node, and Ray ({self.address}) has {describe(nodes)}; "
                "lower scale.cpus_per_trial or scale.gpus_per_trial"
            )
        return at_once

    def wait_for_capacity(self, scale: Scale) -> Resources:
        """Return the resources of a training worker; if a node failed, wait until all workers fit.

        Raises ValueError if they do not fit and no node failed, or none was added in time.
        """
        import ray

        deadline = time.monotonic() + NODE_SECONDS
        warned = False
        while (resources := worker_resources(self.nodes(), scale.workers)) is None:
            with self.connection:
                has_failed_node = any(not node["Alive"] for node in ray.nodes())
            if not has_failed_node or time.monotonic() > deadline:
                self.check_workers(scale)
            if not warned:
                logger.warning(
                    "%d training workers wait for a node: Ray (%s) has %s, and a node failed",
                    *(scale.workers, self.address, describe(self.nodes())),
                )
                warned = True
            time.sleep(POLL_SECONDS)
        return resources

    def warn_of_waiting(self, work: str, resources: Resources) -> None:
        """Log a warning of work that no node has started for `PLACEMENT_SECONDS`."""
        import ray

        with self.connection:
            free = ray.available_resources()
        logger.warning(
            "%s: none has started for %.0f s, each needs %d CPUs and %g GPUs of one node; Ray (%s) "
            "has %s, of which %g CPUs and %g GPUs are free: restart a failed node, wait for other "
            "runs to end, or wait if the machine is slow to start processes",
            *(work, PLACEMENT_SECONDS, resources.num_cpus, resources.num_gpus, self.address),
            *(describe(self.nodes()), free.get("CPU", 0.0), free.get("GPU", 0.0)),
        )


def _count(nodes: Sequence[Node], resources: Resources) -> int:
    return count_fitting(nodes, resources.num_cpus, resources.num_gpus, resources.memory_bytes)
