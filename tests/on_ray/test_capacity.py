"""Capacity of a cluster: counting against placing tasks on nodes one by one."""

from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.core.execution import Resources
from electra_pipeline.on_ray.capacity import (
    CONTEXT_BYTES,
    PROCESS_BYTES,
    Node,
    count_fitting,
    describe,
    gpus_per_worker,
    trial_resources,
    worker_resources,
)

NODES = st.lists(
    st.builds(Node, num_cpus=st.integers(0, 9), num_gpus=st.integers(0, 4).map(float)), max_size=5
)


def placed_one_by_one(nodes: list[Node], num_cpus: int, num_gpus: float) -> int:
    free = [[float(node.num_cpus), node.num_gpus] for node in nodes]
    count = 0
    for node in free:
        while node[0] >= num_cpus and node[1] >= num_gpus:
            node[0] -= num_cpus
            node[1] -= num_gpus
            count += 1
    return count


@given(NODES, st.integers(1, 10), st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]))
def test_count_equals_placing_one_by_one(nodes, num_cpus, num_gpus):
    counted = count_fitting(nodes, Resources(num_cpus, num_gpus))
    assert counted == placed_one_by_one(nodes, num_cpus, num_gpus)


@given(NODES, st.integers(1, 8))
def test_cpus_per_worker_are_the_largest_number_that_fits(nodes, workers):
    resources, num_gpus = worker_resources(nodes, workers), gpus_per_worker(nodes)
    if resources is not None:
        assert placed_one_by_one(nodes, resources.num_cpus, num_gpus) >= workers
    more = 1 + (resources.num_cpus if resources else 0)
    assert placed_one_by_one(nodes, more, num_gpus) < workers


def test_fractions_of_a_gpu_that_are_not_exact_in_binary():
    assert count_fitting([Node(num_cpus=16, num_gpus=1.0)], Resources(1, 0.1)) == 10


def test_a_node_with_less_than_the_others_does_not_lower_the_count():
    # 18 CPUs over 3 workers would be 6 each, which the third node does not have.
    assert worker_resources([Node(8, 0), Node(8, 0), Node(2, 0)], 3) == Resources(4, 0)


@given(
    st.lists(
        st.builds(
            Node,
            num_cpus=st.integers(1, 9),
            num_gpus=st.just(0.0),
            memory_bytes=st.integers(1, 10**11),
        ),
        min_size=1,
    ),
    st.integers(1, 10**11),
)
def test_a_trial_always_fits_and_never_overfills_a_node(nodes, memory_bytes):
    resources = trial_resources(nodes, 1, None, memory_bytes)
    assert resources.num_gpus == 0
    assert count_fitting(nodes, resources) >= 1
    for node in nodes:
        at_once = count_fitting([node], resources)
        assert at_once <= 1 or at_once * (memory_bytes + PROCESS_BYTES) <= node.memory_bytes


@given(st.sampled_from(["T4", "A100", "H100", "RTX", None]), st.integers(10**8, 10**11))
def test_trials_on_a_gpu_share_its_memory(name, memory_bytes):
    gigabytes = {"T4": 16, "A100": 40, "H100": 80}.get(name, 8)
    nodes = [Node(64, 2.0, 10**12, name), Node(64, 1.0, 10**12, "H200")]
    resources = trial_resources(nodes, 1, None, memory_bytes)
    at_once = round(1 / resources.num_gpus)
    assert count_fitting(nodes, resources) == 3 * at_once
    assert at_once == 1 or at_once * (memory_bytes + CONTEXT_BYTES) <= 0.9e9 * gigabytes
    assert resources.memory_bytes == PROCESS_BYTES


def test_a_configured_fraction_of_a_gpu_is_used():
    nodes = [Node(4, 1.0, 10**9, "T4")]
    assert trial_resources(nodes, 2, 0.5, 10**8) == Resources(2, 0.5, PROCESS_BYTES)
    assert trial_resources(nodes, 2, 0.0, 10**8) == Resources(2, 0.0, PROCESS_BYTES + 10**8)


def test_describe():
    assert describe([Node(8, 2.0), Node(4, 0.0)]) == "12 CPUs and 2 GPUs on 2 nodes"
    assert describe([Node(2, 0.0)]) == "2 CPUs and 0 GPUs on 1 node"
