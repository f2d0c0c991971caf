"""placement: fitting by counting, against tasks put on nodes one by one."""

from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.on_ray.placement import Node, cpus_per_worker, fitting, gpus_per_worker, total

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
def test_fitting_equals_placing_one_by_one(nodes, num_cpus, num_gpus):
    assert fitting(nodes, num_cpus, num_gpus) == placed_one_by_one(nodes, num_cpus, num_gpus)


@given(NODES, st.integers(1, 8))
def test_the_share_of_a_worker_is_the_largest_that_fits(nodes, workers):
    share, num_gpus = cpus_per_worker(nodes, workers), gpus_per_worker(nodes)
    if share:
        assert placed_one_by_one(nodes, share, num_gpus) >= workers
    assert placed_one_by_one(nodes, share + 1, num_gpus) < workers


def test_fractions_of_a_gpu_that_are_not_exact_in_binary():
    assert fitting([Node(num_cpus=16, num_gpus=1.0)], 1, 0.1) == 10


def test_a_node_with_less_than_the_others_does_not_lower_the_count():
    # 18 CPUs over 3 workers would be 6 each, which the third node does not have.
    assert cpus_per_worker([Node(8, 0), Node(8, 0), Node(2, 0)], 3) == 4


def test_total_in_words():
    assert total([Node(8, 2.0), Node(4, 0.0)]) == "12 CPUs and 2 GPUs on 2 nodes"
    assert total([Node(2, 0.0)]) == "2 CPUs and 0 GPUs on 1 node"
