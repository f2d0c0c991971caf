"""What a Ray has room for, and what to say where it has none."""

import logging
import time
from dataclasses import dataclass, field

from electra_pipeline.core.execution import Resources, Scale
from electra_pipeline.on_ray.connection import Connection
from electra_pipeline.on_ray.placement import (
    Node,
    fitting,
    gpus_per_worker,
    total,
    trial_resources,
    worker_resources,
)

logger = logging.getLogger(__name__)

# Silence after which the log says what waits: on a quiet machine training workers start in ten s.
PLACEMENT_SECONDS = 60.0
NODE_SECONDS = 600.0  # how long a training waits for another node where one was lost
POLL_SECONDS = 0.5  # how often the nodes are counted meanwhile


@dataclass(frozen=True)
class Room:
    """The nodes of the Ray that this process is connected to."""

    address: str
    """Where that Ray is, for messages."""
    connection: Connection = field(compare=False, repr=False)

    def nodes(self) -> list[Node]:
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
        """See `placement.trial_share`: its formula."""
        return trial_resources(
            self.nodes(), scale.cpus_per_trial, scale.gpus_per_trial, memory_bytes
        )

    def training_resources(self, scale: Scale) -> Resources:
        """As many CPUs as each worker can have, and one GPU where there are any."""
        nodes = self.nodes()
        return worker_resources(nodes, scale.workers) or Resources(1, gpus_per_worker(nodes))

    def slots(self, resources: Resources) -> int:
        """How many items with that share fit on the nodes, by CPUs, GPUs and memory."""
        return fitting(self.nodes(), resources.num_cpus, resources.num_gpus, resources.memory_bytes)

    def check_workers(self, scale: Scale) -> None:
        """Raise ValueError if `scale.workers` training workers can never run at the same time."""
        nodes = self.nodes()
        if worker_resources(nodes, scale.workers) is None:
            num_gpus = gpus_per_worker(nodes)
            raise ValueError(
                f"scale.workers is {scale.workers}, each takes one "
                f"{'GPU' if num_gpus else 'CPU'}, and Ray ({self.address}) has {total(nodes)}; "
                f"set scale.workers to at most {fitting(nodes, 1, num_gpus)}"
            )

    def check_fits(self, resources: Resources) -> int:
        """How many with that share fit at once; raises ValueError if not even one does."""
        nodes = self.nodes()
        at_once = fitting(nodes, resources.num_cpus, resources.num_gpus, resources.memory_bytes)
        if at_once == 0:
            raise ValueError(
                f"a task asks for {resources.num_cpus} CPUs and {resources.num_gpus:g} GPUs on one "
                f"node, and Ray ({self.address}) has {total(nodes)}; "
                "lower scale.cpus_per_trial or scale.gpus_per_trial"
            )
        return at_once

    def await_room(self, scale: Scale) -> Resources:
        """The share of a worker; where a node of this cluster was lost, waits for another.

        Raises ValueError if they do not fit and no node was lost, or none came.
        """
        deadline = time.monotonic() + NODE_SECONDS
        warned = False
        while (resources := worker_resources(self.nodes(), scale.workers)) is None:
            with self.connection:
                was_lost = self._has_lost_a_node()
            if not was_lost or time.monotonic() > deadline:
                self.check_workers(scale)
            if not warned:
                logger.warning(
                    "%d training workers wait for a node: Ray (%s) has %s, and one was lost",
                    *(scale.workers, self.address, total(self.nodes())),
                )
                warned = True
            time.sleep(POLL_SECONDS)
        return resources

    def _has_lost_a_node(self) -> bool:
        import ray

        return any(not node["Alive"] for node in ray.nodes())

    def say_what_waits(self, what: str, resources: Resources) -> None:
        """Warn of work that none of the nodes has started for a while."""
        import ray

        with self.connection:
            free = ray.available_resources()
        logger.warning(
            "%s: none has started for %.0f s, each takes %d CPUs and %g GPUs of one node; Ray (%s) "
            "has %s, of which %g CPUs and %g GPUs are free: a lost node has to come back, other "
            "runs have to end, or the machine is slow to start processes",
            *(what, PLACEMENT_SECONDS, resources.num_cpus, resources.num_gpus, self.address),
            *(total(self.nodes()), free.get("CPU", 0.0), free.get("GPU", 0.0)),
        )
