"""CPU cores that a local worker uses."""

import os

import pytest

from electra_pipeline.core.execution import LocalExecutor, Scale, Worker
from electra_pipeline.core.progress import silent


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes")
def test_a_local_worker_uses_the_cores_of_its_cpu_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    seen: list[int] = []

    def train(worker: Worker) -> None:
        seen.append(worker.num_threads)

    try:
        for cores in (allowed, {min(allowed)}):
            os.sched_setaffinity(0, cores)
            LocalExecutor().train(train, Scale(), silent)
    finally:
        os.sched_setaffinity(0, allowed)
    assert seen == [len(allowed), 1]
