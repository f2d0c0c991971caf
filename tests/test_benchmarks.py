"""Benchmarks that this machine cannot run in full still run: small sizes, a line for each case."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.integration
def test_the_gpu_benchmark_prints_its_table() -> None:
    command = [sys.executable, BENCHMARKS / "gpu.py", "--quick", "--rounds", "1", "--steps", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in printed.splitlines() if line.startswith("| tiny |")]
    assert len({line.split("| ")[3] for line in lines}) == 3  # the forms of attention
    assert all(re.search(r"\d \[\d.*%.*GB", line) for line in lines)
    assert re.search(r"tiny: \d+\.\d% of the peak \(target 45%\); tiny: .* h \(target", printed)
