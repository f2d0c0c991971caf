"""A real Prefect server and worker: schedules on SQLite, runs on PostgreSQL where there is one."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import LogSort
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect"]
TRAINED = "pretrain/*/work/checkpoints/step-*.pt"


@dataclass(frozen=True)
class Server:
    """A server with deployments of prefect.yaml; `client` tries again while it is busy."""

    environment: dict[str, str]
    client: SyncPrefectClient
    folder: Path
    """Without a checkout, with the files of `electra-pipeline deployment-files`."""

    def prefect(self, *arguments: str) -> str:
        """What Prefect's command line prints of a command that succeeds."""
        return self.python("-m", "prefect", "--no-prompt", *arguments)

    def python(self, *arguments: str) -> str:
        """What Python prints of a command that succeeds."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start(self, deployment: str, config: dict[str, Any]) -> FlowRun:
        found = self.client.read_deployment_by_name(deployment)
        return self.client.create_flow_run_from_deployment(found.id, parameters={"config": config})

    def state(self, run: FlowRun) -> State[Any]:
        state = self.client.read_flow_run(run.id).state
        assert state is not None
        return state

    def wait_for(self, run: FlowRun, *wanted: StateType) -> None:
        """Until the run is in one of these states; it must not end in another."""
        wait_until(lambda: self.state(run).type in wanted or self.state(run).is_final())
        assert self.state(run).type in wanted, "\n".join(self.log(run))

    def log(self, run: FlowRun) -> list[str]:
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
        newest = self.client.read_logs(of_run, sort=LogSort.TIMESTAMP_DESC)  # 200 of them
        return [line.message for line in reversed(newest)]

    def wait_for_line(self, run: FlowRun, *parts: str) -> None:
        """Until the log has a line with each part: lines are sent from time to time."""
        wait_until(lambda: all(any(part in line for line in self.log(run)) for part in parts))


def wait_until(condition: Callable[[], Any], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def stop(process: psutil.Process) -> None:
    if not process.is_running():
        return
    processes = [process, *process.children(recursive=True)]
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(processes, timeout=120)


def postgresql_programs() -> Path | None:
    """A PostgreSQL of the system: Prefect's own database needs pg_trgm, which the wheel has not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return Path(named).parent if named else found[-1].parent if found else None


@pytest.fixture(scope="module")
def postgresql(free_port):
    programs_folder, port = postgresql_programs(), free_port()
    assert programs_folder is not None
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


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Start a command of Prefect that stays; all of them are killed at the end."""
    with contextlib.ExitStack() as stack:

        def launch(environment: dict[str, str], *arguments: str) -> psutil.Process:
            log_file = tmp_path_factory.mktemp("log") / f"{arguments[0]}.log"
            log = stack.enter_context(log_file.open("w"))
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

        yield launch


@pytest.fixture(scope="module")
def serve(launch, tmp_path_factory, free_port):
    """Start a server on a database and deploy to it."""

    def serve(database: str | None, *deployments: str) -> Server:
        port, home = free_port(), tmp_path_factory.mktemp("prefect")
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = plain | {
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "COLUMNS": "200",
        }
        if database is not None:
            environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        process = launch(environment, "server", "start", "--host", "127.0.0.1", "--port", str(port))
        health = f"{environment['PREFECT_API_URL']}/health"
        wait_until(lambda: answers(health) or process.poll() is not None)
        assert process.poll() is None
        client = SyncPrefectClient(api=environment["PREFECT_API_URL"])
        server = Server(environment, client, tmp_path_factory.mktemp("deployed"))
        server.python("-m", "electra_pipeline.cli", "deployment-files")
        server.prefect("work-pool", "create", "electra", "--type", "process")
        names = [part for name in deployments for part in ("--name", name)]
        server.prefect("deploy", *names)
        return server

    return serve


@pytest.fixture(scope="module")
def on_sqlite(serve):
    return serve(None, "corpus/small")


@pytest.fixture(scope="module")
def with_worker(serve, launch, request):
    database = request.getfixturevalue("postgresql") if postgresql_programs() else None
    server = serve(database, "electra/quickstart")
    return server, launch(server.environment, "worker", "start", "--pool", "electra")


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def test_an_invalid_parameter_is_refused_before_a_run_exists(on_sqlite, tiny):
    from prefect.exceptions import PrefectHTTPStatusError

    tiny["pretrain"]["steps"] = "many"
    with pytest.raises(PrefectHTTPStatusError, match=r"config\.pretrain\.steps"):
        on_sqlite.start("corpus/small", tiny)
    assert on_sqlite.client.read_flow_runs() == []


def test_a_schedule_creates_runs_once_it_is_active(on_sqlite):
    # With SQLAlchemy 2.1 the server answers, and no scheduled run ever appears.
    (schedule,) = on_sqlite.client.read_deployment_by_name("corpus/small").schedules
    assert not schedule.active
    on_sqlite.prefect("deployment", "schedule", "resume", "corpus/small", str(schedule.id))
    wait_until(lambda: on_sqlite.client.read_flow_runs())
    assert {run.state.type for run in on_sqlite.client.read_flow_runs()} == {StateType.SCHEDULED}
    on_sqlite.prefect("deployment", "schedule", "pause", "corpus/small", str(schedule.id))
    (schedule,) = on_sqlite.client.read_deployment_by_name("corpus/small").schedules
    assert not schedule.active


def test_another_deployment_keeps_the_settings_of_operators(on_sqlite):
    client = on_sqlite.client

    def schedules() -> set[tuple[str, bool]]:
        present = client.read_deployment_by_name("corpus/small").schedules
        return {(str(each.schedule)[:10], each.active) for each in present}

    def automations() -> list[tuple[str, bool]]:
        return sorted((each.name, each.enabled) for each in client.read_automations())

    on_sqlite.python("-m", "flows.deploying")
    assert len(client.read_deployments()) == 9
    deployment = client.read_deployment_by_name("corpus/small")
    (schedule,) = deployment.schedules
    client.update_deployment_schedule(deployment.id, schedule.id, active=True)
    client.create_deployment_schedules(deployment.id, [(CronSchedule(cron="5 5 * * *"), True)])
    client.pause_automation(client.read_automations_by_name("crash-silent-runs")[0].id)
    client.update_deployment(deployment.id, DeploymentUpdate(description="mine"))
    on_sqlite.prefect("work-queue", "set-concurrency-limit", "gpu", "2", "--pool", "electra")
    ours, states = schedules(), automations()
    assert len(ours) == 2 and [active for _, active in states] == [True, True, False]

    assert "unchanged" in on_sqlite.python("-m", "flows.deploying")
    assert (schedules(), automations()) == (ours, states)
    assert client.read_deployment_by_name("corpus/small").description == "mine"

    # Also to deploy what has changed leaves schedules on, and those that were added.
    on_sqlite.prefect("deploy", "--name", "corpus/small")
    assert client.read_deployment_by_name("corpus/small").description != "mine"
    assert schedules() == ours
    (queue,) = [each for each in client.read_work_queues() if each.name == "gpu"]
    assert queue.concurrency_limit == 2
    for each in client.read_deployment_by_name("corpus/small").schedules:
        client.update_deployment_schedule(deployment.id, each.id, active=False)


def test_a_run_that_dies_before_it_starts_releases_its_queue_after_a_while(on_sqlite, launch, tiny):
    from flows.health import examine_server

    client = on_sqlite.client
    name = "crash-runs-that-never-start"
    for given in yaml.safe_load((ROOT / "infra/automations.yaml").read_text())["automations"]:
        if given["name"] == name:
            soon = given | {"name": f"{name}-soon"}
            soon["trigger"]["within"] = 15
            client.create_automation(AutomationCore.model_validate(soon))
    worker = launch(on_sqlite.environment, "worker", "start", "--pool", "electra")
    first = on_sqlite.start("corpus/small", tiny)
    on_sqlite.wait_for(first, StateType.PENDING)
    stop(worker)
    assert on_sqlite.state(first).is_pending()

    second = on_sqlite.start("corpus/small", tiny)
    assert client.get_scheduled_flow_runs_for_work_pool("electra") == []
    slots = on_sqlite.prefect("work-queue", "slots", "corpus", "--pool", "electra")
    assert first.name in slots and "1 / 1" in slots

    def remedies() -> list[str]:
        return [each.remedy for each in examine_server()]

    with temporary_settings({PREFECT_API_URL: on_sqlite.environment["PREFECT_API_URL"]}):
        (full,) = [each for each in examine_server() if each.subject == "queue corpus"]
    assert f"{first.name} (" in full.found and not full.remedy

    on_sqlite.wait_for(first, StateType.CRASHED)
    (due,) = client.get_scheduled_flow_runs_for_work_pool("electra")
    assert due.flow_run.id == second.id
    # Late, because its worker is gone.
    with temporary_settings({PREFECT_API_URL: on_sqlite.environment["PREFECT_API_URL"]}):
        wait_until(lambda: "prefect worker start --pool electra" in remedies())
    client.delete_flow_run(second.id)


def test_runs_wait_for_each_other_stop_within_seconds_and_resume(with_worker, tiny):
    """Two runs that take GPUs; the first is terminated, the second one cancelled.

    Both have one root: the second resumes where the first was stopped.
    """
    server, worker = with_worker
    tiny["finetune"] = None
    tiny["pretrain"]["steps"] = 1_000_000
    tiny["scale"] = {"workers": 1, "checkpoint_every_steps": 10}
    first = server.start("electra/quickstart", tiny)
    wait_until(lambda: list(Path(tiny["root"]).glob(TRAINED)) or server.state(first).is_final())
    assert server.state(first).is_running(), "\n".join(server.log(first))

    second = server.start("electra/quickstart", tiny)
    # What the worker is given when it asks for work, which it does each second.
    assert server.client.get_scheduled_flow_runs_for_work_pool("electra") == []
    assert server.state(second).type == StateType.SCHEDULED

    terminate(worker)
    server.wait_for(first, StateType.CRASHED)
    server.wait_for_line(first, f"to resume: prefect flow-run retry {first.id}")

    server.wait_for(second, StateType.RUNNING)
    names = {server.client.read_flow_run(run.id).name for run in (first, second)}
    assert len(names) == 2 and all(name.startswith("tiny-test-20") for name in names)
    ended, started = (server.client.read_flow_run(run.id) for run in (first, second))
    assert started.start_time >= ended.end_time
    # What the training worker of Ray logs is in the run.
    server.wait_for_line(second, "pretrain: resumed from step")

    processes = worker.children(recursive=True)
    server.prefect("flow-run", "cancel", str(second.id))
    server.wait_for(second, StateType.CANCELLED, StateType.CANCELLING)
    server.wait_for(second, StateType.CANCELLED)
    server.wait_for_line(second, "to resume: prefect flow-run retry")
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []


def terminate(worker: psutil.Process) -> None:
    """Send SIGTERM to the one flow that runs, as Kubernetes does; none of its processes is left."""
    wait_until(lambda: len(worker.children()) == 1)
    (flow,) = worker.children()
    processes = [flow, *flow.children(recursive=True)]
    assert any("raylet" in process.name() for process in processes)
    flow.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []
