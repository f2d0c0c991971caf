"""Placement: how many tasks and training workers fit on the nodes of a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

from electra_pipeline.core.execution import Resources


@dataclass(frozen=True)
class Node:
    """The resources of a node of a cluster, as Ray counts them."""

    num_cpus: int
    num_gpus: float
    memory_bytes: int = 0
    gpu_type: str | None = None
    """Ray's name of its accelerator: `T4`, `A100`, `H100`."""


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


def count_fitting(
    nodes: Sequence[Node], num_cpus: int, num_gpus: float, memory_bytes: int = 0
) -> int:
    """Return how many tasks with these resources run at once, each on a single node."""
    return sum(
        min(
            node.num_cpus // num_cpus,
            int(node.num_gpus / num_gpus + 1e-6) if num_gpus else node.num_cpus // num_cpus,
            node.memory_bytes // memory_bytes if memory_bytes else node.num_cpus // num_cpus,
        )
        for node in nodes
    )


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
    needed = PROCESS_BYTES + (0 if num_gpus else memory_bytes)
    available = [node.memory_bytes for node in nodes if count_fitting([node], num_cpus, num_gpus)]
    return Resources(num_cpus, num_gpus, min(needed, max(available, default=0)))


def cpus_per_worker(nodes: Sequence[Node], workers: int) -> int:
    """Return the largest number of CPUs with which `workers` fit on the nodes; 0 if they do not.

    All workers have the same number, and each also has `gpus_per_worker`.
    """
    num_gpus = gpus_per_worker(nodes)
    largest = max((node.num_cpus for node in nodes), default=0)
    return next(
        (n for n in range(largest, 0, -1) if count_fitting(nodes, n, num_gpus) >= workers), 0
    )


def worker_resources(nodes: Sequence[Node], workers: int) -> Resources | None:
    """Return the resources of each of `workers` training workers; None if they do not fit."""
    num_cpus = cpus_per_worker(nodes, workers)
    return Resources(num_cpus, gpus_per_worker(nodes)) if num_cpus else None


def gpus_per_worker(nodes: Sequence[Node]) -> int:
    """Return 1 if there are GPUs, else 0."""
    return int(any(node.num_gpus >= 1 for node in nodes))


def describe(nodes: Sequence[Node]) -> str:
    """Return, for example, `12 CPUs and 2 GPUs on 3 nodes`."""
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    return f"{cpus} CPUs and {gpus:g} GPUs on {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
