"""Capacity of a Ray cluster: how many tasks and training workers fit on its nodes."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from electra_pipeline.core.execution import Resources, Scale, Worker, cpus_of_this_process
from electra_pipeline.on_ray.connection import Connection

logger = logging.getLogger(__name__)

# Time without a start after which a warning is logged: on an idle machine training workers start in
# ten seconds.
PLACEMENT_SECONDS = 60.0
NODE_SECONDS = 600.0  # how long a training waits for another node after one failed
POLL_SECONDS = 0.5  # between two counts of the nodes while it waits
# Memory of one GPU in GB: the smallest variant of Ray's name (ray.util.accelerators; NVIDIA's data
# sheets).
GPU_GIGABYTES = {
    "V100": 16,
    "T4": 16,
    "A10G": 24,
    "L4": 24,
    "A100": 40,
    "A100-40G": 40,
    "L40S": 48,
    "A100-80G": 80,
    "H100": 80,
    "H20": 96,
    "H200": 141,
    "B200": 180,
}
OTHER_GPU_GIGABYTES = 8  # of a type that is not in the table
# Memory of a process besides its model: torch, transformers and Ray in the node's memory (0.6 GB
# resident); on a GPU, the CUDA context and the workspaces of kernels.
PROCESS_BYTES = 700_000_000
CONTEXT_BYTES = 1_000_000_000
MAX_PROCESSES_ON_GPU = 8  # they take turns; more would wait, not speed up


@dataclass(frozen=True)
class Node:
    """The resources of a node of a cluster, as Ray counts them."""

    num_cpus: int
    num_gpus: float
    memory_bytes: int = 0
    gpu_type: str | None = None
    """Ray's name of its accelerator: `T4`, `A100`, `H100`."""


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
        return count_fitting(self.nodes(), resources)

    def check_workers(self, scale: Scale) -> None:
        """Raise ValueError if `scale.workers` training workers can never run at the same time."""
        nodes = self.nodes()
        if worker_resources(nodes, scale.workers) is None:
            num_gpus = gpus_per_worker(nodes)
            raise ValueError(
                f"scale.workers is {scale.workers}, each takes one "
                f"{'GPU' if num_gpus else 'CPU'}, and Ray ({self.address}) has {describe(nodes)}; "
                f"set scale.workers to at most {count_fitting(nodes, Resources(1, num_gpus))}"
            )

    def check_fits(self, resources: Resources) -> int:
        """Return how many items with these resources fit at once; raise ValueError if none does."""
        nodes = self.nodes()
        at_once = count_fitting(nodes, resources)
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


def fits_this_machine(scale: Scale) -> bool:
    """Return whether this machine has the CPUs of the scale; False where it has GPUs."""
    needed = max(scale.workers, scale.cpus_per_trial)
    has_gpus = scale.gpus_per_trial or Worker().device.type == "cuda"
    return needed <= cpus_of_this_process() and not has_gpus


def count_fitting(nodes: Sequence[Node], resources: Resources) -> int:
    """Return how many tasks with these resources run at once, each on a single node."""

    def count(node: Node) -> int:
        by_cpus = node.num_cpus // resources.num_cpus
        return min(
            by_cpus,
            int(node.num_gpus / resources.num_gpus + 1e-6) if resources.num_gpus else by_cpus,
            node.memory_bytes // resources.memory_bytes if resources.memory_bytes else by_cpus,
        )

    return sum(map(count, nodes))


def trial_resources(
    nodes: Sequence[Node], num_cpus: int, num_gpus: float | None, memory_bytes: int
) -> Resources:
    """Return the resources of a fine-tuning trial whose model needs `memory_bytes`.

    With `num_gpus` None, the number is 0 if no node has a GPU. Otherwise it is 1/n, with the
    largest n up to 8 for which n trials (with a CUDA context each) fit into nine tenths of the
    memory of the smallest GPU, and at least 1. The node's memory is that of the process and,
    without a GPU, that of the model; at most that of the largest node with these CPUs and GPUs, on
    which the trial then runs alone.
    """
    if num_gpus is None:
        types = {node.gpu_type for node in nodes if node.num_gpus >= 1}
        smallest = min(
            (GPU_GIGABYTES.get(name or "", OTHER_GPU_GIGABYTES) for name in types), default=0
        )
        at_once = int(0.9e9 * smallest / (memory_bytes + CONTEXT_BYTES))
        at_once = min(max(at_once, 1), MAX_PROCESSES_ON_GPU)
        # Rounded down: Ray counts in ten-thousandths, and 7 x 0.1429 would be more than 1.
        num_gpus = (10_000 // at_once) / 10_000 if types else 0.0
    wanted = Resources(num_cpus, num_gpus)
    needed = PROCESS_BYTES + (0 if num_gpus else memory_bytes)
    available = [node.memory_bytes for node in nodes if count_fitting([node], wanted)]
    return replace(wanted, memory_bytes=min(needed, max(available, default=0)))


def worker_resources(nodes: Sequence[Node], workers: int) -> Resources | None:
    """Return the resources of each of `workers` training workers; None if they do not fit.

    They are `gpus_per_worker` and the largest number of CPUs that all workers can have.
    """
    largest = max((node.num_cpus for node in nodes), default=0)
    choices = (Resources(n, gpus_per_worker(nodes)) for n in range(largest, 0, -1))
    return next((each for each in choices if count_fitting(nodes, each) >= workers), None)


def gpus_per_worker(nodes: Sequence[Node]) -> int:
    """Return 1 if there are GPUs, else 0."""
    return int(any(node.num_gpus >= 1 for node in nodes))


def describe(nodes: Sequence[Node]) -> str:
    """Return, for example, `12 CPUs and 2 GPUs on 3 nodes`."""
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    return f"{cpus} CPUs and {gpus:g} GPUs on {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
