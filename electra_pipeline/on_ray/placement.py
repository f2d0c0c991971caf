"""What fits where: whole tasks and training workers on the nodes of a cluster, by counting."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """What one node of a cluster has, in Ray's counting."""

    num_cpus: int
    num_gpus: float


def fitting(nodes: Sequence[Node], num_cpus: int, num_gpus: float) -> int:
    """How many tasks of this size run at the same time, each one whole on one node."""
    return sum(
        min(
            node.num_cpus // num_cpus,
            int(node.num_gpus / num_gpus + 1e-6) if num_gpus else node.num_cpus // num_cpus,
        )
        for node in nodes
    )


def cpus_per_worker(nodes: Sequence[Node], workers: int) -> int:
    """The largest equal share of CPUs with which `workers` fit on the nodes; 0 if they do not.

    Each of them also takes `gpus_per_worker`.
    """
    num_gpus = gpus_per_worker(nodes)
    largest = max((node.num_cpus for node in nodes), default=0)
    return next((n for n in range(largest, 0, -1) if fitting(nodes, n, num_gpus) >= workers), 0)


def gpus_per_worker(nodes: Sequence[Node]) -> int:
    """1 where there are GPUs, else 0."""
    return int(any(node.num_gpus >= 1 for node in nodes))


def total(nodes: Sequence[Node]) -> str:
    """`12 CPUs and 2 GPUs on 3 nodes`."""
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    return f"{cpus} CPUs and {gpus:g} GPUs on {len(nodes)} node{'s' if len(nodes) > 1 else ''}"
