"""Seconds that the workflow adds: the chain under Prefect and Ray beside plain calls of its stages.

Both run the same small configuration from nothing, by turns, on one training worker. The plain
calls run one after another in one process; the flow starts its own Prefect server and its own Ray,
as `electra-pipeline run` does on a laptop, and runs the fine-tuning trials side by side. Processor
seconds are those of all processes of a command: what other work on the machine does not change.

    python benchmarks/orchestration.py --rounds 3
    python benchmarks/orchestration.py --rounds 0     # the fan-out and the idle stack alone
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

import psutil

OVERRIDES = [
    "scale.workers=1",  # with more, the stages' own commands use Ray too
    "pretrain.steps=60",
    "pretrain.evaluate_every_steps=60",
    "finetune.seeds=[0]",
    "finetune.tasks.0.max_examples=400",
    "finetune.tasks.1.max_examples=400",
]
NUM_TASKS = 1000
LOOK_SECONDS = 0.2  # a process that lives shorter is not counted
IDLE_SECONDS = 20.0
FREE_PORT = 24_200  # of the Prefect server that is measured idle


def family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def seconds(command: str, root: str) -> tuple[float, float]:
    """Wall and processor seconds of one command with all its processes, from start to exit."""
    preset = ["--preset", "quickstart", "--root", root]
    options = [part for override in OVERRIDES for part in ("--set", override)]
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "electra_pipeline.cli", command, *preset, *options],
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
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started, sum(used.values())


def fan_out() -> float:
    """Empty tasks per second through `on_ray`, with existing worker processes."""
    from electra_pipeline.on_ray import cluster

    with cluster("local") as executor:
        list(executor.map(abs, range(10)))
        started = time.perf_counter()
        list(executor.map(abs, range(NUM_TASKS)))
        return NUM_TASKS / (time.perf_counter() - started)


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
    names = {"plain": "finetune", "Prefect and Ray": "run"}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    again: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        for round_number in range(arguments.rounds):
            for name, command in names.items():
                root = f"{place}/{command}-{round_number}"
                taken[name].append(seconds(command, root))
                again[name].append(seconds(command, root))
                print(f"{name}: {taken[name][-1]}, again {again[name][-1]}", flush=True)
    for what, rounds in (("from nothing", taken), ("when all is there", again)):
        for name, pairs in rounds.items():
            if pairs:
                wall, processor = (statistics.median(side) for side in zip(*pairs, strict=True))
                print(f"{name:16} {what:18} {wall:6.1f} s, processor {processor:6.1f} s")
    print(f"{fan_out():.0f} empty tasks/s")
    for name, megabytes in idle_megabytes().items():
        print(f"{name:40} {megabytes:5.0f} MB idle")


if __name__ == "__main__":
    main()
