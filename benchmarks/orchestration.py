"""Seconds that the workflow adds: the chain under Prefect and Ray beside plain calls of its stages.

Both run the same small configuration from nothing, by turns, on one training worker. The plain
calls run one after another in one process; the flow starts its own Prefect server and its own Ray,
as `electra-pipeline run` does on a laptop, and runs the fine-tuning legs side by side.

    python benchmarks/orchestration.py --rounds 3
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

OVERRIDES = [
    "scale.workers=1",  # with more, the stages' own commands use Ray too
    "pretrain.steps=60",
    "pretrain.evaluate_every_steps=60",
    "finetune.seeds=[0]",
    "finetune.tasks.0.max_examples=400",
    "finetune.tasks.1.max_examples=400",
]


def seconds(command: str, root: str) -> float:
    """Wall seconds of one whole process, from start to exit."""
    preset = ["--preset", "quickstart", "--root", root]
    options = [part for override in OVERRIDES for part in ("--set", override)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "electra_pipeline.cli", command, *preset, *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = {"plain": "finetune", "Prefect and Ray": "run"}
    taken: dict[str, list[float]] = {name: [] for name in names}
    again: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        for round_number in range(arguments.rounds):
            for name, command in names.items():
                root = f"{place}/{command}-{round_number}"
                taken[name].append(seconds(command, root))
                again[name].append(seconds(command, root))
    for name in names:
        print(
            f"{name:16} {statistics.median(taken[name]):6.1f} s from nothing, "
            f"{statistics.median(again[name]):6.1f} s when all is there"
        )
    pairs = zip(taken["Prefect and Ray"], taken["plain"], strict=True)
    print(f"ratio            {statistics.median(a / b for a, b in pairs):6.2f} from nothing")


if __name__ == "__main__":
    main()
