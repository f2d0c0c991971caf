"""Seconds until the work begins: of commands, workers' processes and the workflow.

The chain under Prefect and Ray is run beside plain calls of its stages: the same small
configuration from nothing, by turns, on one training worker. The plain calls run one after another
in one process; the flow starts its own Prefect server and its own Ray, as `electra-pipeline run`
does on a laptop, and runs the fine-tuning trials side by side. Processor seconds are those of all
processes of a command: what other work on the machine does not change.

    python benchmarks/orchestration.py --rounds 3
    python benchmarks/orchestration.py --rounds 0     # all but the chain
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable

import psutil

OVERRIDES = [
    "scale.workers=1",  # with more, the stages' own commands use Ray too
    "pretrain.steps=60",
    "pretrain.evaluate_every_steps=60",
    "finetune.seeds=[0]",
    "finetune.tasks.0.max_examples=400",
    "finetune.tasks.1.max_examples=400",
]
LIGHT_COMMANDS = (
    ("--help",),
    ("presets",),
    ("config", "--preset", "quickstart"),
    ("results", "--preset", "quickstart"),
)
LIGHT_ROUNDS = 5
NUM_TASKS = 1000
LOOK_SECONDS = 0.2  # a process that lives shorter is not counted
IDLE_SECONDS = 20.0
FREE_PORT = 24_200  # of the Prefect server that is measured idle


def family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def seconds(*arguments: str) -> tuple[float, float]:
    """Wall and processor seconds of one command with all its processes, from start to exit."""
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "electra_pipeline.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )
    used: dict[tuple[int, float], float] = {}
    while process.poll() is None:
        for each in family(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                used[each.pid, each.create_time()] = times.user + times.system
        time.sleep(LOOK_SECONDS)
    if process.returncode != 0:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")
    return time.perf_counter() - started, sum(used.values())


def chain_seconds(command: str, root: str) -> tuple[float, float]:
    """Wall and processor seconds of the small configuration below a root."""
    options = [part for override in OVERRIDES for part in ("--set", override)]
    return seconds(command, "--preset", "quickstart", "--root", root, *options)


def light_command_seconds() -> dict[str, tuple[float, float]]:
    """Median wall and processor seconds of each light command, by turns."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(LIGHT_ROUNDS):
        for arguments in LIGHT_COMMANDS:
            started, before = time.perf_counter(), os.times()
            subprocess.run(
                [sys.executable, "-m", "electra_pipeline.cli", *arguments],
                capture_output=True,
                check=True,
            )
            after = os.times()
            user = after.children_user - before.children_user
            system = after.children_system - before.children_system
            wall = time.perf_counter() - started
            found.setdefault(" ".join(arguments), []).append((wall, user + system))
    return {name: medians(pairs) for name, pairs in found.items()}


def medians(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    wall, processor = (statistics.median(side) for side in zip(*pairs, strict=True))
    return wall, processor


def become_ready(_: object) -> tuple[float, float]:
    """In a worker: return the processor seconds of its process before and after a trial's imports.

    The first include the start of Python and Ray; the second do not yet build a model.
    """
    before = time.process_time()
    import electra_pipeline.finetuning.run  # noqa: F401

    return before, time.process_time()


def measure_ray() -> None:
    """Print the start of Ray, of a trial's process, and the rate of empty tasks."""
    from electra_pipeline.on_ray import cluster

    started = time.perf_counter()
    with cluster("local") as executor:
        executor.nodes()
        print(f"Ray is started after {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        (outcome,) = executor.map(become_ready, [None])
        wall = time.perf_counter() - started
        before, after = outcome.value or (0.0, 0.0)
        print(
            f"a trial's process is ready {wall:.1f} s after Ray, processor {after:.1f} s: "
            f"{before:.1f} for Python and Ray, {after - before:.1f} for imports"
        )
        list(executor.map(abs, range(10)))
        started = time.perf_counter()
        list(executor.map(abs, range(NUM_TASKS)))
        rate = NUM_TASKS / (time.perf_counter() - started)
    print(f"{rate:.0f} empty tasks/s")


def idle_megabytes() -> dict[str, float]:
    """Proportional set size of each part of the stack while it has nothing to do."""
    prefect = [sys.executable, "-m", "prefect"]
    url = f"http://127.0.0.1:{FREE_PORT}/api"
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
    ray += ["--head", "--block", "--port=26379", "--disable-usage-stats", "--num-cpus=2"]
    parts = {
        "Prefect server": [*prefect, "server", "start", f"--port={FREE_PORT}"],
        "Prefect worker": [*prefect, "worker", "start", "--pool=idle", "--type=process"],
        "Ray head, with dashboard": [*ray, "--object-store-memory=200000000"],
    }
    found, running = {}, []
    with tempfile.TemporaryDirectory() as home:
        own = {"PREFECT_HOME": home, "PREFECT_API_URL": url, "RAY_AUTH_MODE": "disabled"}
        try:
            for name, command in parts.items():
                started = time.perf_counter()
                process = psutil.Popen(
                    command,
                    env=os.environ | own,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                running.append((name, process))
                while name == "Prefect server" and not answers(f"{url}/health"):
                    time.sleep(0.1)
                if name == "Prefect server":
                    print(f"{name} answers after {time.perf_counter() - started:.1f} s")
            time.sleep(IDLE_SECONDS)
            for name, process in running:
                sizes = [each.memory_full_info().pss for each in family(process)]
                found[f"{name} ({len(sizes)} processes)"] = sum(sizes) / 1e6
        finally:
            for _, process in running:
                for each in family(process):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
    return found


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for name, (wall, processor) in light_command_seconds().items():
        print(f"{name:30} {wall:6.2f} s, processor {processor:6.2f} s")
    names = {"plain": "finetune", "Prefect and Ray": "run"}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    again: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        for round_number in range(arguments.rounds):
            for name, command in names.items():
                root = f"{place}/{command}-{round_number}"
                taken[name].append(chain_seconds(command, root))
                again[name].append(chain_seconds(command, root))
                print(f"{name}: {taken[name][-1]}, again {again[name][-1]}", flush=True)
    for what, rounds in (("from nothing", taken), ("when all is there", again)):
        for name, pairs in rounds.items():
            if pairs:
                wall, processor = medians(pairs)
                print(f"{name:16} {what:18} {wall:6.1f} s, processor {processor:6.1f} s")
    if taken["plain"]:
        added = medians(taken["Prefect and Ray"])[0] - medians(taken["plain"])[0]
        print(f"the workflow adds {added:.1f} s")
    measure_ray()
    for name, megabytes in idle_megabytes().items():
        print(f"{name:40} {megabytes:5.0f} MB idle")


if __name__ == "__main__":
    main()
