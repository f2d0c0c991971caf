"""A real Prefect server, worker and deployments, on SQLite and on PostgreSQL."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect"]


@dataclass(frozen=True)
class Server:
    """A server with the deployments of prefect.yaml and a worker."""

    environment: dict[str, str]
    worker: psutil.Process

    def prefect(self, *arguments: str, seconds: float = 600) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*PREFECT, "--no-prompt", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.environment['PREFECT_API_URL']}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        for _ in range(10):
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            # What the server says while SQLite is busy; Prefect's own client tries again, too.
            time.sleep(2)
        raise AssertionError(f"{method} {path}: unavailable for 20 s")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.call("POST", path, body)

    def run(self, name: str) -> dict[str, Any]:
        (run,) = self.post("flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
        return dict(run)

    def deployment(self, name: str) -> str:
        return str(self.call("GET", f"deployments/name/{name}")["id"])


def wait_until(condition: Callable[[], Any], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def stop(process: psutil.Process) -> None:
    processes = [process, *process.children(recursive=True)]
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(processes, timeout=120)


@pytest.fixture(scope="module")
def postgresql_with_trigrams(free_port):
    """A PostgreSQL of the system: Prefect's own database needs pg_trgm, which the wheel has not."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (programs and programs[-1])
    if not found:
        pytest.skip("no PostgreSQL server is installed (initdb): Prefect needs one with pg_trgm")
    programs_folder, port = Path(found).parent, free_port()
    # Not below pytest's folder, which only its owner may enter: PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as home:
        owner = {"user": "postgres"} if os.geteuid() == 0 else {}
        if owner:
            shutil.chown(home, "postgres")
        subprocess.run(
            [programs_folder / "initdb", "--auth=trust", "--username=prefect", f"{home}/data"],
            check=True,
            capture_output=True,
            **owner,
        )
        command = [programs_folder / "postgres", "-D", f"{home}/data", "-p", str(port), "-k", home]
        process = psutil.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **owner
        )
        try:
            wait_until(lambda: list(Path(home).glob(".s.PGSQL.*")))
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            stop(process)


BOTH = pytest.mark.parametrize("server", ["sqlite", "postgresql"], indirect=True, scope="module")
SQLITE = pytest.mark.parametrize("server", ["sqlite"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request, tmp_path_factory, free_port):
    home = tmp_path_factory.mktemp(f"prefect-{request.param}")
    port = free_port()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = plain | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "COLUMNS": "200",
    }
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_with_trigrams")
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = url
    with contextlib.ExitStack() as stack:

        def launch(*arguments: str) -> psutil.Process:
            log = stack.enter_context((home / f"{arguments[0]}.log").open("w"))
            process = psutil.Popen(
                [*PREFECT, *arguments],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(stop, process)
            return process

        process = launch("server", "start", "--host", "127.0.0.1", "--port", str(port))
        wait_until(
            lambda: (
                answers(f"{environment['PREFECT_API_URL']}/health") or process.poll() is not None
            )
        )
        assert process.poll() is None, (home / "server.log").read_text()[-3000:]
        server = Server(environment, psutil.Process())
        created = server.prefect("work-pool", "create", "local", "--type", "process")
        assert created.returncode == 0, created.stderr
        deployed = server.prefect("deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        worker = launch("worker", "start", "--pool", "local")
        yield Server(environment, worker)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@BOTH
def test_a_deployment_runs_to_its_end(server, tiny):
    tiny["name"], tiny["finetune"], tiny["scale"]["workers"] = "deployed", None, 1
    finished = server.prefect(
        "deployment", "run", "electra/quickstart", "--params", json.dumps({"config": tiny}),
        "--watch",
    )  # fmt: skip
    run = server.run("deployed")

    def logs() -> str:
        return server.prefect("flow-run", "logs", run["id"]).stdout

    assert finished.returncode == 0, finished.stdout + finished.stderr + logs()
    assert run["state_type"] == "COMPLETED"
    wait_until(lambda: "pretrain: finished in" in logs())  # lines are sent from time to time
    assert list(Path(tiny["root"]).glob("publish/*/manifest.json"))


@SQLITE
def test_a_parameter_that_cannot_be_is_refused_before_a_run_exists(server, tiny):
    tiny["name"] = "refused"
    tiny["pretrain"]["steps"] = "many"
    finished = server.prefect(
        "deployment", "run", "electra/quickstart", "--params", json.dumps({"config": tiny})
    )
    assert finished.returncode == 1
    assert "config.pretrain.steps" in finished.stdout + finished.stderr
    assert not server.post("flow_runs/filter", {"flow_runs": {"name": {"any_": ["refused"]}}})


@BOTH
def test_a_schedule_makes_runs(server):
    # With SQLAlchemy 2.1 the server answers, and no scheduled run ever appears.
    deployment = server.deployment("electra/small")
    hourly = [{"schedule": {"interval": 3600}, "active": True}]
    (created,) = server.call("POST", f"deployments/{deployment}/schedules", hourly)
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    wait_until(lambda: server.post("flow_runs/filter", {"flow_runs": scheduled}))
    server.call("DELETE", f"deployments/{deployment}/schedules/{created['id']}")


@SQLITE
def test_a_cancelled_run_stops_its_work_and_ends_as_cancelled(server, tiny):
    tiny["name"], tiny["finetune"] = "cancelled", None
    tiny["pretrain"]["steps"] = 1_000_000
    tiny["scale"] = {"workers": 1, "checkpoint_every_steps": 10}
    started = server.prefect(
        "deployment", "run", "electra/quickstart", "--params", json.dumps({"config": tiny})
    )
    assert started.returncode == 0, started.stdout + started.stderr
    wait_until(lambda: list(Path(tiny["root"]).glob("pretrain/*/work/checkpoints/step-*.pt")))
    processes = server.worker.children(recursive=True)
    assert any("raylet" in process.name() for process in processes)
    cancelled = server.prefect("flow-run", "cancel", server.run("cancelled")["id"])
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    wait_until(lambda: server.run("cancelled")["state_type"] not in ("RUNNING", "CANCELLING"))
    assert server.run("cancelled")["state_type"] == "CANCELLED"
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []
