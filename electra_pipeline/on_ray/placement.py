"""What fits where: whole tasks and training workers on the nodes of a cluster, by counting."""

from collections.abc import Sequence
from dataclasses import dataclass

from electra_pipeline.core.execution import Resources


@dataclass(frozen=True)
class Node:
    """What one node of a cluster has, in Ray's counting."""

    num_cpus: int
    num_gpus: float
    memory_bytes: int = 0
    gpu_type: str | None = None
    """What Ray calls its accelerator: `T4`, `A100`, `H100`."""


# Memory of one GPU in GB, the smallest that is sold under the name that Ray gives it
# (ray.util.accelerators; NVIDIA's data sheets).
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
# What a process that computes needs beside its model: torch, transformers and Ray imported, in the
# node's memory (0.6 GB resident); on a GPU the CUDA context and the kernels' workspaces.
PROCESS_BYTES = 700_000_000
CONTEXT_BYTES = 1_000_000_000
MOST_PROCESSES_ON_GPU = 8  # they take turns on it; more add waiting, not speed


def fitting(nodes: Sequence[Node], num_cpus: int, num_gpus: float, memory_bytes: int = 0) -> int:
    """How many tasks of this size run at the same time, each one whole on one node."""
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
    """What a fine-tuning with so much memory for its model takes of a node.

    `num_gpus` None is derived: none where no node has one; else one part in n of a GPU, where n
    times the memory (and a CUDA context each) fits into nine tenths of the smallest GPU here, at
    most 8 of them, at least the whole. The node's memory is the process and, without a GPU, what
    the model needs too; no more than the largest node has that fits otherwise, where it then runs
    alone.
    """
    if num_gpus is None:
        types = {node.gpu_type for node in nodes if node.num_gpus >= 1}
        smallest = min(
            (GPU_GIGABYTES.get(name or "", OTHER_GPU_GIGABYTES) for name in types), default=0
        )
        at_once = int(0.9e9 * smallest / (memory_bytes + CONTEXT_BYTES))
        at_once = min(max(at_once, 1), MOST_PROCESSES_ON_GPU)
        # Rounded down: Ray counts in ten-thousandths, and 7 x 0.1429 would be more than 1.
        num_gpus = (10_000 // at_once) / 10_000 if types else 0.0
    wanted = PROCESS_BYTES + (0 if num_gpus else memory_bytes)
    able = [node.memory_bytes for node in nodes if fitting([node], num_cpus, num_gpus)]
    return Resources(num_cpus, num_gpus, min(wanted, max(able, default=0)))


def cpus_per_worker(nodes: Sequence[Node], workers: int) -> int:
    """The largest equal share of CPUs with which `workers` fit on the nodes; 0 if they do not.

    Each of them also takes `gpus_per_worker`.
    """
    num_gpus = gpus_per_worker(nodes)
    largest = max((node.num_cpus for node in nodes), default=0)
    return next((n for n in range(largest, 0, -1) if fitting(nodes, n, num_gpus) >= workers), 0)


def worker_resources(nodes: Sequence[Node], workers: int) -> Resources | None:
    """What each of `workers` training workers takes of its node; None if they do not fit."""
    num_cpus = cpus_per_worker(nodes, workers)
    return Resources(num_cpus, gpus_per_worker(nodes)) if num_cpus else None


def gpus_per_worker(nodes: Sequence[Node]) -> int:
    """1 where there are GPUs, else 0."""
    return int(any(node.num_gpus >= 1 for node in nodes))


def total(nodes: Sequence[Node]) -> str:
    """`12 CPUs and 2 GPUs on 3 nodes`."""
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    return f"{cpus} CPUs and {gpus:g} GPUs on {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
