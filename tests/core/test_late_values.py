"""Numbers of a device are read at once on a CPU, and one step late on a GPU."""

import pytest
import torch

from electra_pipeline.core.late_values import LateValues


def test_values_of_a_cpu_are_read_at_once() -> None:
    values = LateValues(torch.device("cpu"))
    assert list(values.add(0, torch.tensor(2.0))) == [(0, 2.0)]
    assert list(values.remaining()) == []


@pytest.mark.gpu
def test_values_of_a_gpu_are_read_one_step_late() -> None:
    values = LateValues(torch.device("cuda"))
    found = [list(values.add(step, torch.tensor(float(step), device="cuda"))) for step in range(3)]
    assert found == [[], [(0, 0.0)], [(1, 1.0)]]
    assert list(values.remaining()) == [(2, 2.0)]
