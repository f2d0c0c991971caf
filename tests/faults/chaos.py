"""Seeded SIGKILLs over the whole chain, each survived: the same bytes as undisturbed.

A tiny chain runs as `electra-pipeline run` on a Prefect server, a Ray cluster of two nodes and
PostgreSQL. In each stage, at a moment that the seed chooses, one of them dies. What died is started
again, and so is the command where it ended with it, until the chain is done. Then every manifest,
every file and every row of the results table (but for times) has to equal those of a run that
nothing happened to.

    python -m tests.faults.chaos --kills 100 --seed 0
"""

import argparse
import contextlib
import faulthandler
import json
import multiprocessing
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from electra_pipeline.core.execution import THREAD_ENVIRONMENT
from electra_pipeline.results import store
from electra_pipeline.storage.artifact import find_artifacts, verify
from flows.local import ENVIRONMENT as COMMAND_ENVIRONMENT
from tests.faults.stack import ENVIRONMENT, PostgreSQL, Prefect, Ray, family, kill
from tests.tiny_world import tiny_config, write_inputs

STAGES = ("corpus", "tokenizer", "sequences", "pretrain", "publish", "finetune")
HUNG_SECONDS = 600.0  # without a new file or an end
MOST_DOWN_SECONDS = 6.0  # a killed server stays away for so long at most
NOT_COMPARED = ("seconds", "created_at")  # of a row of the results table


# Commands are forked from a process with their imports, which take half of a tiny chain's time.
FORKSERVER = multiprocessing.get_context("forkserver")


def run_command(config: Path, log: Path, ray_address: str) -> None:
    """`electra-pipeline run` in this process."""
    from electra_pipeline.cli.app import main

    os.setsid()
    with log.open("a") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    faulthandler.enable()
    # The second is how long it looks for a cluster that is gone, by default a minute.
    own = {"RAY_ADDRESS": ray_address, "RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
    os.environ.update(own)
    sys.argv = ["electra-pipeline", "run", "--config", str(config)]
    main()


class Stack:
    """All servers, and what it takes to kill each and to start it again."""

    def __init__(self, folder: Path) -> None:
        self.postgresql, self.prefect, self.ray = PostgreSQL(folder), Prefect(folder), Ray(folder)
        self.victims: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "node": (self.ray.kill_node, self.ray.start_node),
            "raylet of the driver": (self.ray.kill_raylet_of_driver, self.ray.start_again),
            "GCS": (self.ray.kill_control, self.ray.start_again),
            "Prefect server": (self.prefect.kill, self.prefect.start),
            "PostgreSQL": (self.postgresql.kill, self.postgresql.start),
        }

    def stop(self) -> None:
        for server in (self.ray, self.prefect, self.postgresql):
            server.stop()


VICTIMS = ("driver", "worker", "node", "raylet of the driver", "GCS", "Prefect server")
VICTIMS += ("PostgreSQL",)


@dataclass(frozen=True)
class Kill:
    """Who dies when: so far into the usual time of a stage, and for how long it stays away."""

    stage: str
    victim: str
    fraction: float
    choice: float
    down_seconds: float


@dataclass
class Struck:
    """A kill that was done: where it hit, and what it cost."""

    victim: str
    where: str
    at: float
    seconds: float | None = None
    """Until the run had a new file to show for it, or its end."""
    num_restarts: int = 0
    said: str = ""


def plan(seed: int, victims: tuple[str, ...]) -> Iterator[list[Kill]]:
    """The kills of one chain after another, one a stage; each victim in each stage by turns."""
    rng = random.Random(seed)
    decks: dict[str, list[str]] = {stage: [] for stage in STAGES}
    while True:
        kills = []
        for stage, deck in decks.items():
            if not deck:
                deck += rng.sample(victims, len(victims))
            moment = (rng.random(), rng.random(), rng.random() * MOST_DOWN_SECONDS)
            kills.append(Kill(stage, deck.pop(), *moment))
        yield kills


class Chain:
    """One tiny chain with a root and a database of its own, and the command that makes it."""

    def __init__(self, name: str, folder: Path, stack: Stack, workers: int) -> None:
        self.stack, self.root, self.log = stack, folder / name / "runs", folder / name / "log"
        self.root.parent.mkdir()
        self.database = stack.postgresql.create(name)
        config = tiny_config(folder / "inputs", str(self.root)) | {"database": self.database}
        config["pretrain"]["steps"] = 60
        config["finetune"]["seeds"] = [0]
        config["scale"]["workers"] = workers
        self.file = folder / name / "config.yaml"
        self.file.write_text(yaml.safe_dump(config))
        self.struck: list[Struck] = []
        self.began: dict[str, float] = {}  # when each stage was first seen
        self.num_starts = 0
        self.seen: set[tuple[str, int]] = set()
        self.started = time.monotonic()
        self.moved = self.started
        self.start()

    def start(self) -> None:
        self.num_starts, self.is_disturbed = self.num_starts + 1, False
        arguments = (self.file, self.log, self.stack.ray.address)
        self.command = FORKSERVER.Process(target=run_command, args=arguments)
        self.command.start()

    def end(self) -> None:
        """Kill the command, and all below it, if it is still there."""
        with contextlib.suppress(psutil.NoSuchProcess):
            kill(family(psutil.Process(self.command.pid)))
        self.command.join()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def look(self) -> bool:
        """Note what is new; whether the chain is done. Starts a command again that died."""
        time.sleep(0.1)
        returncode = self.command.exitcode
        for stage in STAGES:
            if stage not in self.began and (self.root / stage).is_dir():
                self.began[stage] = time.monotonic()
        files = {
            (str(path), path.lstat().st_mtime_ns)
            for path in _files(self.root)
            if not path.name.startswith(".")
        }
        if files - self.seen or returncode == 0:
            self.moved = time.monotonic()
            for struck in self.struck:
                if struck.seconds is None:
                    struck.seconds = self.moved - struck.at
        self.seen = files
        if returncode not in (None, 0):
            said = self.log.read_text(errors="replace").strip().splitlines()[-1]
            if not self.is_disturbed:
                raise AssertionError(f"{self.log}: ended with {returncode} undisturbed: {said}")
            for struck in self.struck[-1:]:
                struck.num_restarts += 1
                struck.said = struck.said or ("" if returncode < 0 else said)
            self.start()
        if time.monotonic() - self.moved > HUNG_SECONDS:
            os.kill(self.command.pid or 0, signal.SIGABRT)  # says where its threads are
            raise AssertionError(f"{self.log}: nothing happened for {HUNG_SECONDS:g} seconds")
        return returncode == 0

    def strike(self, planned: Kill) -> None:
        """Kill, and start again what was killed; the command is `look`'s to start again."""
        unfinished = [s for s in STAGES if (self.root / s).is_dir() and not _finished(self.root, s)]
        where = unfinished[-1] if unfinished else f"after {list(self.began)[-1]}"
        if planned.victim == "driver" and self.command.exitcode is not None:
            return  # its end is not looked at yet
        if planned.victim == "worker":
            workers = self.stack.ray.workers()
            if not workers:
                return
            victim, title = workers[int(planned.choice * len(workers))]
            where += f" ({title})"
        self.is_disturbed = True
        if planned.victim == "driver":
            self.end()
        elif planned.victim == "worker":
            kill([victim])
        else:
            die, start = self.stack.victims[planned.victim]
            die()
        self.struck.append(Struck(planned.victim, where, time.monotonic()))
        if planned.victim not in ("driver", "worker"):
            time.sleep(planned.down_seconds)
            start()

    def run(self, kills: list[Kill], usual: dict[str, float]) -> list[Struck]:
        """The chain to its end, with as many of the kills as it leaves time for."""
        for planned in kills:
            while planned.stage not in self.began:
                if self.look():
                    return self.struck
            due = self.began[planned.stage] + planned.fraction * usual[planned.stage]
            while time.monotonic() < due:
                if self.look():
                    return self.struck
            self.strike(planned)
        while not self.look():
            pass
        return self.struck

    def result(self) -> dict[str, Any]:
        """All that must be equal: manifests, and rows of the results table but for times."""
        artifacts = find_artifacts(str(self.root))
        problems = [problem for artifact in artifacts for problem in verify(artifact)]
        if problems:
            raise AssertionError("; ".join(problems))
        rows = store.read(self.database)
        return {
            "manifests": {str(a.folder.name): dict(a.manifest) for a in artifacts},
            "rows": [{k: v for k, v in row.items() if k not in NOT_COMPARED} for row in rows],
        }

    def durations(self) -> dict[str, float]:
        """Seconds from the beginning of each stage to that of the next one, or to now."""
        times = [*(self.began[stage] for stage in STAGES), time.monotonic()]
        return {
            stage: later - earlier
            for stage, earlier, later in zip(STAGES, times[:-1], times[1:], strict=True)
        }


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (path for name in names if (path := Path(folder) / name).exists())


def _finished(root: Path, stage: str) -> bool:
    folders = [each for each in (root / stage).iterdir() if each.is_dir()]
    return bool(folders) and all((each / "manifest.json").exists() for each in folders)


def show(
    struck: list[Struck], undisturbed_seconds: float, chains: list[float], failures: list[str]
) -> None:
    """The tally."""
    cells: dict[tuple[str, str], list[Struck]] = defaultdict(list)
    for each in struck:
        cells[each.victim, each.where.split(" (")[0]].append(each)
    print(f"\n{'victim':22}{'while':20}{'kills':>6}{'command again':>15}{'s to new work':>20}")
    for (victim, where), group in sorted(cells.items()):
        lost = [each.seconds or 0.0 for each in group]
        again = sum(bool(each.num_restarts) for each in group)
        spread = f"{statistics.median(lost):.1f} [{min(lost):.1f}, {max(lost):.1f}]"
        print(f"{victim:22}{where:20}{len(group):6}{again:15}{spread:>20}")
    num_chains = len(chains) + len(failures)
    print(
        f"\n{len(struck)} kills in {num_chains} chains, of which {len(failures)} did not end equal"
    )
    for failure in failures:
        print(f"  {failure}")
    print(
        f"undisturbed {undisturbed_seconds:.0f} s; with kills {statistics.median(chains):.0f} s "
        f"[{min(chains):.0f}, {max(chains):.0f}]"
    )
    print("\nwhat a command said whose end a kill had caused:")
    said = (re.sub(r"\d+", "N", each.said) for each in struck if each.said)
    for line, count in Counter(said).most_common():
        print(f"{count:4} x {line[:300]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no chain after these")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1, help="in pre-training")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--keep", type=Path, help="a folder for roots and logs; it must be short")
    arguments = parser.parse_args()
    os.environ.update(ENVIRONMENT | COMMAND_ENVIRONMENT | THREAD_ENVIRONMENT)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["ELECTRA_PIPELINE_CACHE"] = str(folder / "cache")
    (folder / "inputs").mkdir()
    write_inputs(folder / "inputs")
    stack = Stack(folder)
    os.environ["PREFECT_API_URL"] = stack.prefect.url
    FORKSERVER.set_forkserver_preload(["flows.electra", "electra_pipeline.cli.app"])
    struck: list[Struck] = []
    try:
        undisturbed = Chain("undisturbed", folder, stack, arguments.workers)
        undisturbed.run([], {})
        usual, undisturbed_seconds = undisturbed.durations(), undisturbed.seconds
        expected = undisturbed.result()
        print(f"undisturbed: {undisturbed_seconds:.0f} s, {json.dumps(usual)}", flush=True)
        chains: list[float] = []
        failures: list[str] = []
        deadline = time.monotonic() + 60 * arguments.minutes
        for number, kills in enumerate(plan(arguments.seed, tuple(arguments.victims))):
            if len(struck) >= arguments.kills or time.monotonic() > deadline:
                break
            chain = Chain(f"chain{number}", folder, stack, arguments.workers)
            outcome = "equal"
            try:
                chain.run(kills[: arguments.kills - len(struck)], usual)
                chains.append(chain.seconds)
                assert chain.result() == expected, f"{chain.root}: other bytes than undisturbed"
            except AssertionError as error:
                outcome = str(error)
                failures.append(outcome)
                chain.end()
            struck += chain.struck
            print(f"chain {number}: {chain.seconds:.0f} s, {chain.num_starts} starts, {outcome}")
            for each in chain.struck:
                print(f"  {each.victim} at {each.where}: {each.seconds or -1:.1f} s", flush=True)
        show(struck, undisturbed_seconds, chains, failures)
    finally:
        stack.stop()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
