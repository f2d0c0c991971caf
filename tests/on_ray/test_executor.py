"""on_ray over a real local Ray of two CPUs.

What runs in Ray's workers is defined inside the tests: closures travel by value, while this module
cannot be imported there.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from electra_pipeline.core.execution import Outcome, Resources, Scale
from electra_pipeline.core.progress import Update, silent
from electra_pipeline.on_ray import RayExecutor, capacity, cluster
from electra_pipeline.on_ray import connection as connecting
from electra_pipeline.on_ray.connection import Connection, _check_reachable


@pytest.fixture
def executor(ray_cluster):
    with cluster() as executor:
        yield executor


def test_another_service_at_the_address_is_refused(ray_cluster, monkeypatch):
    import ray

    _check_reachable(ray.get_runtime_context().gcs_address)
    answers = (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command 'PRI'\r\n", b"")

    def answer(server):
        for each in answers:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(each)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        for _ in answers:
            with pytest.raises(ValueError, match=r"^no Ray at 127.*but another service; give HOST"):
                _check_reachable(f"127.0.0.1:{server.getsockname()[1]}")
    with socket.create_server(("127.0.0.1", 0)) as busy:  # Ray's to wait for
        monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_SECONDS", 0.2)
        _check_reachable(f"127.0.0.1:{busy.getsockname()[1]}")
    with pytest.raises(ValueError, match=r"cannot reach Ray at 127\.0\.0\.1:99999"):
        _check_reachable("127.0.0.1:99999")


def values(outcomes: Iterable[Outcome[Any]]) -> list[Any]:
    """Return the values in the order of their items. Raise the first error."""
    found = sorted(outcomes, key=lambda outcome: outcome.index)
    for outcome in found:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.value for outcome in found]


def test_map_gives_every_value_to_its_item(executor):
    squares = values(executor.map(lambda number: number**2, range(20)))
    assert squares == [number**2 for number in range(20)]


def test_items_report_progress_in_the_callers_thread(executor):
    def work(number, progress):
        for done in range(1, 4):
            progress(Update("x", done, 3, "steps", {"loss": 0.5}, item=str(number)))
        return number

    heard = []

    def hear(update):
        heard.append((threading.current_thread() is threading.main_thread(), update))

    assert values(executor.map(work, [5, 7], progress=hear)) == [5, 7]
    for item in ("5", "7"):  # the first and the last, what lies between came too soon
        assert [u.done for _, u in heard if u.item == item] == [1, 3]
    assert all(is_main for is_main, _ in heard)
    assert list(executor.map(work, [], progress=hear)) == []


def test_map_of_nothing_is_nothing(executor):
    assert list(executor.map(str, [])) == []


def test_a_failed_item_keeps_its_own_error_and_fails_alone(executor):
    def invert(number):
        if number == 0:
            raise ValueError("row 0: division by zero; remove the row")
        return 1 / number

    outcomes = {outcome.index: outcome for outcome in executor.map(invert, [2, 0, 4])}
    assert (outcomes[0].value, outcomes[2].value) == (0.5, 0.25)
    assert type(outcomes[1].error) is ValueError
    assert str(outcomes[1].error) == "row 0: division by zero; remove the row"


def test_an_item_whose_worker_dies_is_restarted(executor, tmp_path):
    def die_once(number):
        mark = Path(tmp_path) / str(number)
        if number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert values(executor.map(die_once, range(3))) == [0, 1, 2]


def test_an_item_whose_worker_always_dies_fails_alone(ray_cluster):
    def die(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    outcomes = {
        o.index: o for o in RayExecutor("local", Connection(), max_retries=0).map(die, range(3))
    }
    assert (outcomes[0].value, outcomes[2].value) == (0, 2)
    assert isinstance(outcomes[1].error, RuntimeError)
    message = str(outcomes[1].error)
    assert message.startswith("item 1: its worker process died 1 times") and "\n" not in message


def test_items_start_after_their_parent_and_fail_with_it(executor, tmp_path):
    def run(number):
        if number == 3:
            raise ValueError("no")
        seen = {path.name for path in Path(tmp_path).iterdir()}
        (Path(tmp_path) / str(number)).touch()
        return seen

    after = {0: 1, 1: 2, 4: 3}
    outcomes = list(
        executor.map(run, range(5), after=after, resources=lambda _: Resources(1, 0.0, 1000))
    )
    found = {outcome.index: outcome for outcome in outcomes}
    assert "2" in found[1].value and {"1", "2"} <= found[0].value
    assert str(found[4].error) == "skipped: its parent failed (no)"
    assert len(outcomes) == 5


def test_items_that_run_at_once_fit_in_memory(executor):
    (node,) = executor.nodes()
    assert node.memory_bytes > 10**8
    resources = executor.trial_resources(Scale(), node.memory_bytes)
    assert resources == Resources(1, 0.0, node.memory_bytes)  # more than there is: alone
    assert executor.slots(resources) == 1
    assert executor.slots(Resources(1, 0.0, node.memory_bytes // 2)) == 2
    assert values(executor.map(abs, [-1, -2], resources=lambda _: resources)) == [1, 2]


def test_closing_the_iterator_stops_running_items(executor, tmp_path):
    def wait_for_ever(number):
        if number == 1:
            (Path(tmp_path) / f"{os.getpid()}").touch()
            threading.Event().wait()

    outcomes = executor.map(wait_for_ever, [0, 1])
    next(outcomes)
    while not any(tmp_path.iterdir()):
        threading.Event().wait(0.05)
    outcomes.close()
    (started,) = tmp_path.iterdir()
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == int(started.name)], timeout=120)
    assert not psutil.pid_exists(int(started.name))


def test_more_than_a_node_has_is_refused(executor):
    with pytest.raises(ValueError, match=r"3 CPUs .* has 2 CPUs .*lower scale\.cpus_per_trial"):
        list(executor.map(str, [1], resources=lambda _: Resources(3)))
    with pytest.raises(ValueError, match=r"scale\.workers is 3, .*to at most 2"):
        executor.check(Scale(workers=3), "runs")
    with pytest.raises(ValueError, match=r"scale\.workers is 3, .*to at most 2"):
        executor.train(print, Scale(workers=3), silent)
    with pytest.raises(ValueError, match=r"0\.5 GPUs"):
        executor.check(Scale(gpus_per_trial=0.5), "runs")
    executor.check(Scale(workers=2, cpus_per_trial=2), "runs")


@pytest.mark.parametrize(("num_items", "num_cpus"), [(1, 2), (3, 1)])
def test_parallel_trainings_divide_the_machine_and_report_in_the_callers_thread(
    executor, num_items, num_cpus
):
    def train(name, worker):
        worker.report(Update(name, worker.num_threads, 2, "threads"))
        if name == "1":
            raise ValueError("the loss is not finite")
        return name, worker.rank, worker.world_size, str(worker.device)

    seen, threads = [], set()

    def progress(update):
        seen.append((update.stage, update.done))
        threads.add(threading.get_ident())

    names = [str(index) for index in range(num_items)]
    outcomes = {outcome.index: outcome for outcome in executor.train_each(train, names, progress)}
    assert outcomes[0].value == ("0", 0, 1, "cpu")
    assert num_items == 1 or str(outcomes[1].error) == "the loss is not finite"
    assert sorted(seen) == [(name, num_cpus) for name in names]
    assert threads == {threading.get_ident()}


def test_a_root_in_memory_is_refused(executor):
    with pytest.raises(ValueError, match=r"memory://runs.*worker processes cannot see"):
        executor.check(Scale(), "memory://runs")


def test_training_joins_the_workers_and_reports_in_the_callers_thread(executor):
    from electra_pipeline.on_ray import collectives

    def train(worker):
        import torch.distributed

        from electra_pipeline.core.progress import Update

        ranks = torch.tensor([float(worker.rank)])
        torch.distributed.all_reduce(ranks)
        if worker.rank == 0:
            for step in range(4):
                metrics = {
                    "sum_of_ranks": ranks.item(),
                    "world": float(worker.world_size),
                    "threads": float(worker.num_threads == torch.get_num_threads() == 1),
                    "device": str(worker.device),
                    "directory": str(Path.cwd()),
                    "interface": os.environ["GLOO_SOCKET_IFNAME"],
                }
                worker.report(Update("pretrain", step, 4, "steps", metrics))

    seen = []
    executor.train(
        train,
        Scale(workers=2),
        lambda update: seen.append((threading.get_ident(), update)),
    )
    assert [update.done for _, update in seen] == [0, 1, 2, 3]
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert seen[-1][1].metrics == {
        "sum_of_ranks": 1.0,
        "world": 2.0,
        "threads": 1.0,
        "device": "cpu",
        "directory": str(Path.cwd()),
        "interface": collectives.interface_of("127.0.0.1"),  # where the tests' Ray is
    }


@pytest.fixture
def die_before_joining(tmp_path, monkeypatch):
    """Kill one worker of the next training, once, before the workers are connected."""
    from electra_pipeline.on_ray import collectives

    unharmed = tmp_path / "unharmed"
    unharmed.touch()

    def die_once():
        with suppress(FileNotFoundError):  # the other worker was first
            unharmed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    class Deadly(collectives.NodesNetworkConfig):
        @property
        def backend_cls(self):
            class Backend(super().backend_cls):
                def on_start(self, worker_group, backend_config):
                    worker_group.execute(die_once)
                    super().on_start(worker_group, backend_config)

            return Backend

    monkeypatch.setattr(collectives, "NodesNetworkConfig", Deadly)


def test_a_worker_that_dies_before_the_workers_join_starts_the_training_again(
    executor, tmp_path, die_before_joining
):
    def train(worker):
        (Path(tmp_path) / str(worker.rank)).touch()

    executor.train(train, Scale(workers=2, retries=1), silent)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


@pytest.mark.parametrize("victim", ["worker", "controller"])
def test_a_process_that_dies_during_a_training_starts_all_workers_again(executor, tmp_path, victim):
    def train(worker):
        import psutil
        import torch.distributed

        attempts = Path(tmp_path)
        (attempts / f"{worker.rank}-{len(list(attempts.iterdir()))}").touch()
        torch.distributed.barrier()
        if worker.rank == 1 and len(list(attempts.iterdir())) == 2:
            if victim == "worker":
                os.kill(os.getpid(), signal.SIGKILL)
            for process in psutil.Process(os.getppid()).children():  # of the raylet
                if process.cmdline()[0].startswith("ray::TrainController"):
                    process.kill()
            threading.Event().wait()  # until Ray ends what belonged to it
        torch.distributed.barrier()

    executor.train(train, Scale(workers=2, retries=1), silent)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_error_of_the_training_function_is_raised_without_retry(executor, tmp_path):
    def train(worker):
        (Path(tmp_path) / str(len(list(Path(tmp_path).iterdir())))).touch()
        raise ValueError("sequences.length is 4096; the model has 512 positions")

    with pytest.raises(
        ValueError, match=r"^sequences\.length is 4096; the model has 512 positions$"
    ):
        executor.train(train, Scale(retries=2), silent)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"cannot reach Ray at 127\.0\.0\.1:1 \(RAY_ADDRESS\).*ray start --head"),
        ("ray://127.0.0.1:10001", r"RAY_ADDRESS is 'ray://127\.0\.0\.1:10001'; give HOST:PORT"),
        ("no-port", r"RAY_ADDRESS is 'no-port'; give HOST:PORT"),
    ],
)
def test_an_address_that_cannot_work_is_refused_in_one_line(address, message, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=message) as caught, cluster():
        pass
    assert "\n" not in str(caught.value)


def test_a_ray_imported_too_early_is_not_opened_to_other_machines(ray_cluster, monkeypatch):
    import ray

    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ValueError, match="ray was imported before a local Ray"), cluster():
        pass


def test_a_local_ray_that_did_not_start_in_time_is_restarted(monkeypatch):
    import ray

    attempts = []

    def init(**options):
        attempts.append(threading.current_thread())
        if len(attempts) != 2:
            raise Exception("The current node timed out during startup. This could happen ...")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", init)
    with cluster("local") as executor, executor.connection:
        assert len(attempts) == 2
        attempts[0].join(120)  # Ray's processes end with the thread that started them
        assert not attempts[0].is_alive() and attempts[1].is_alive()
    refused = pytest.raises(ValueError, match=r"^cannot start Ray on this machine: .* again later")
    with refused, cluster("local") as executor, executor.connection:
        pass
    assert len(attempts) == 2 + 4


def test_ray_is_started_by_the_first_work_alone(monkeypatch, tmp_path):
    import ray

    started = []
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(started))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", lambda **options: started.append(options))
    node = {"Alive": True, "Resources": {"CPU": 1.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    monkeypatch.setattr(capacity, "cpus_of_this_process", lambda: 2)
    with cluster("local") as executor:
        executor.check(Scale(workers=2), str(tmp_path))
        executor.check_open()
        assert list(executor.map(abs, [])) == []
        assert not started
        # Ray counts less CPUs than the process has, as in a container with a limit
        with pytest.raises(ValueError, match=r"^scale\.workers is 2.* 1 CPUs"):
            executor.nodes()
        assert len(started) == 1
        assert executor.nodes()[0].num_cpus == 1
    with pytest.raises(RuntimeError, match="Ray was shut down"):
        executor.check_open()
    started.clear()
    with cluster("local") as executor:
        with pytest.raises(ValueError, match=r"^scale\.workers is 3"):
            executor.check(Scale(workers=3), str(tmp_path))
        assert len(started) == 1


DRIVER = """
    import os
    from electra_pipeline.core.execution import Scale
    from electra_pipeline.on_ray import cluster
    from electra_pipeline.core.progress import Update, silent

    with cluster() as executor:
        (outcome,) = executor.map(lambda _: os.getppid(), [None])
        executor.train(lambda worker: None, Scale(workers=2), silent)
        print(outcome.value)
"""


@pytest.fixture
def ray_folder():
    """Ray keeps the address of a started cluster here; short, since sockets lie in it too."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield folder


def has_raylet(head):
    with suppress(psutil.NoSuchProcess):  # a child that ended meanwhile
        return any("raylet" in child.name() for child in head.children(recursive=True))
    return False


@pytest.mark.integration
def test_an_existing_cluster_is_used_and_left_running(free_port, ray_folder):
    port = free_port()
    command = f"ray start --head --block --port={port} --num-cpus=2 --include-dashboard=false"
    command += f" --object-store-memory=100000000 --disable-usage-stats --temp-dir={ray_folder}"
    head = psutil.Popen(
        [
            sys.executable,
            "-c",
            "from ray.scripts.scripts import main; main()",
            *command.split()[1:],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 600
        while not has_raylet(head):
            assert head.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        finished = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(DRIVER)],
            env=os.environ | {"RAY_ADDRESS": f"127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert finished.returncode == 0, finished.stderr
        raylet = psutil.Process(int(finished.stdout))  # the task's worker was a child of the head's
        assert raylet in head.children(recursive=True)
    finally:
        for process in [*head.children(recursive=True), head]:
            with suppress(psutil.NoSuchProcess):  # its parent took it along
                process.kill()
        head.wait(120)


ALONE = """
    import os, signal, sys, psutil
    from electra_pipeline.on_ray import cluster

    def mine(number, frame): ...
    signal.signal(signal.SIGTERM, mine)
    with cluster() as executor:
        assert signal.getsignal(signal.SIGTERM) is mine
        assert [outcome.value for outcome in executor.map(abs, [-1])] == [1]
        children = psutil.Process().children(recursive=True)
        assert len(children) > 2
        seen = " ".join(part for process in children for part in process.cmdline())
        for secret in ("RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY"):
            assert os.environ[secret] not in seen, secret
        listening = {
            connection.laddr.ip
            for process in children
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        print(*sorted(listening))
    _, alive = psutil.wait_procs(children, timeout=120)
    print(len(alive))
"""


@pytest.mark.integration
def test_a_local_ray_binds_to_loopback_and_leaves_nothing_behind(tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE)],
        env=inherited | {"HOME": str(tmp_path), "AWS_SECRET_ACCESS_KEY": "s3cret"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr
    addresses, num_left = finished.stdout.splitlines()
    assert set(addresses.split()) <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert num_left == "0"
    assert not (tmp_path / ".ray").exists()  # a token left there would lock out other clusters
    assert finished.stderr == ""


@pytest.mark.integration
def test_a_training_that_never_returns_does_not_keep_the_process_alive():
    # As Ray's get does now and then when Ray is shut down under it.
    script = (
        "import threading\n"
        "from electra_pipeline.on_ray.training import run_in_daemon_thread\n"
        "run_in_daemon_thread(threading.Event().wait)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=600, check=False)
    assert done.returncode == 0
