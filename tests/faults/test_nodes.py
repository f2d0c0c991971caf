"""A cluster of several nodes, in a process of its own: this one has a Ray of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import network


@pytest.mark.integration
def test_a_node_lost_in_each_stage_costs_time_only(tmp_path):
    """Killed, or cut off from the others where this process may make networks."""
    cut = ["--cut"] if network.is_permitted() else []
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.faults.lost_nodes", str(tmp_path), *cut],
        cwd=Path(__file__).parents[2],
        env=plain,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1700,
    )
    assert finished.returncode == 0, finished.stdout[-6000:]
    assert finished.stdout.splitlines()[-1] == "same bytes"
