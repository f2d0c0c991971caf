"""The way into Ray and out again: where it is, how it is started, how it is left."""

import logging
import os
import secrets
import signal
import site
import socket
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import THREAD_ENVIRONMENT
from electra_pipeline.storage import local_folders

CONNECT_TIMEOUT_SECONDS = 5.0  # Ray itself tries an unreachable address for minutes
CLOSE_TIMEOUT_SECONDS = 10.0  # a call inside takes half a second, more only if Ray is ill
# Results travel as artifacts, not through Ray: its default of 30 % of the memory would lie idle.
OBJECT_STORE_BYTES = 200_000_000
# What ray.init says when its own processes took longer than 30 seconds, a limit of node.py that
# nothing changes. They end with the thread that started them.
TOO_SLOW = "timed out during startup"
START_ATTEMPTS = 4
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS_FRAME = b"\x04"
NOBODY = "http://127.0.0.1:9"  # the discard port: refused at once

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # After a shutdown the next call must fail. By default it would start another Ray, unseen.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # A task that asked for no GPU sees none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # By default a task that runs out of memory is started again for ever.
    "RAY_task_oom_retries": "2",
    # How soon a dead worker or the end of the training is noticed; the default is 2 seconds.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Workers wait a year for their places, as tasks do; the log says so after a minute.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "31536000",
    # It only reports, and costs each training another process: checkpoints are what saves the work.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Workers stay where the driver is, so that relative paths mean the same to both.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    **THREAD_ENVIRONMENT,
}


logger = logging.getLogger(__name__)


class Connection:
    """The way into Ray, which closes once.

    A thread that calls Ray after its shutdown ends the whole process, from C++ and without a word.
    So a short call is made inside `with connection:`, and `close` waits for those to come out. A
    long one is cut into short ones; only `TorchTrainer.fit` stays inside Ray, which lets it go.
    """

    def __init__(self) -> None:
        self._closing = threading.Lock()
        self._changed = threading.Condition()
        self._num_inside = 0
        self._closed = False
        self.opening_mailbox = threading.Lock()
        self.mailbox: Any = None
        """For the fan-outs of this connection, once one of them needs it; see `Mailbox`."""

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("Ray was shut down: the run was interrupted")
            self._num_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._num_inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Shut Ray down, which ends all work of this driver.

        Any thread may call this, and each returns when Ray is down. Two threads in `ray.shutdown`
        at the same time end the process or hang; one after the other, the second has nothing to do.
        """
        import ray

        with self._closing:
            with self._changed:
                self._closed = True
                self._changed.wait_for(lambda: self._num_inside == 0, CLOSE_TIMEOUT_SECONDS)
            ray.shutdown()


@contextmanager
def connect(address: str) -> Iterator[Connection]:
    """Ray at `address`, until the end of the block. See `cluster`."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"address": address, "log_to_driver": False}
    if address == "local":
        _check_not_imported()
        local_folders.of_ray().check()
        _keep_local()
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _check_reachable(address)
        _choose_authentication()

    import ray

    connection = Connection()
    if ray.is_initialized():
        yield connection
        return
    # In the main thread ray.init takes over SIGTERM, and Prefect takes a cancelled run for a crash.
    # In another thread it leaves the handlers alone, but that thread has to outlive Ray: the kernel
    # kills Ray's processes when the thread that started them ends (PR_SET_PDEATHSIG).
    stop = threading.Event()
    try:
        _start(address, options, stop)
        _take_back_sigterm()
        yield connection
    finally:
        connection.close()
        stop.set()


def _start(address: str, options: Mapping[str, Any], stop: threading.Event) -> None:
    for attempts_left in range(START_ATTEMPTS - 1, -1, -1):
        started: Future[None] = Future()
        arguments = (options, started, stop)
        threading.Thread(target=_hold, args=arguments, daemon=True, name="ray").start()
        try:
            return started.result()
        except Exception as error:
            if TOO_SLOW in str(error) and attempts_left > 0:
                logger.warning("Ray was not up after 30 seconds: a busy machine; trying again")
            elif address == "local":
                raise ValueError(
                    f"cannot start Ray on this machine: {first_line(error)}; if it has much else "
                    "to do, try again later, or set RAY_ADDRESS to a Ray that runs"
                ) from error
            else:
                raise ValueError(
                    f"cannot connect to Ray at {address!r} (RAY_ADDRESS): {first_line(error)}; "
                    "run on a node of that cluster (`ray start --address=...`), or unset "
                    "RAY_ADDRESS for a local Ray"
                ) from error
    return None


def _hold(options: Mapping[str, Any], started: "Future[None]", stop: threading.Event) -> None:
    import ray
    from ray.job_config import JobConfig

    logging.getLogger("ray").setLevel(logging.ERROR)
    # By default Ray puts the driver's current folder before everything that its workers import:
    # a random.py there would break them, a copy of this package there would run in place of ours.
    # Not so for a job of a client, which is all that this flag changes (_private/worker.py).
    job = JobConfig(_client_job=True, _py_driver_sys_path=own_import_paths())
    try:
        ray.init(**options, job_config=job, configure_logging=False)
    except BaseException as error:
        started.set_exception(error)
        return
    started.set_result(None)
    stop.wait()


def own_import_paths() -> list[str]:
    """Where this process imports from beside its Python's own folders, the last one first.

    Ray's workers put each in turn before what they have.
    """
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    of_python = {Path(folder).resolve() for folder in folders}
    paths = [Path(entry).resolve() for entry in sys.path]  # '' is the current folder
    own = [str(path) for path in paths if not of_python & {path, *path.parents}]
    return list(dict.fromkeys(own))[::-1]


def _take_back_sigterm() -> None:
    """Let SIGTERM be handled as before Ray was started.

    Below Python, Ray puts absl's handler in its place (InstallFailureSignalHandler), which aborts
    the process three seconds later, while it is still closing what it has open.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _check_not_imported() -> None:
    """Refuse to start a Ray that other machines could reach: it reads its environment on import."""
    ray = sys.modules.get("ray")
    if ray is not None and not ray.is_initialized() and "RAY_AUTH_MODE" not in os.environ:
        raise ValueError(
            "ray was imported before a local Ray could be told to keep to this machine; import it "
            "inside functions, call ray.init() yourself, or set RAY_ADDRESS to a cluster"
        )


def _keep_local() -> None:
    """Keep a local Ray to this machine and, unless told otherwise, to those who know its token."""
    # Despite its name, this is how Ray decides between loopback and the interface's address.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Ray Train's cleaner of placement groups asks the dashboard whether its controller lives, and
    # without one it searches until a timeout, 12 seconds at the end of each training.
    os.environ.setdefault("RAY_API_SERVER_ADDRESS", NOBODY)
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        # Given here, the token is not written to ~/.ray, where it would lock other clusters.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _choose_authentication() -> None:
    """Use the token if there is one; Ray's own clients do not while `RAY_AUTH_MODE` is unset."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    known = "RAY_AUTH_TOKEN" in os.environ or file.exists()
    os.environ.setdefault("RAY_AUTH_MODE", "token" if known else "disabled")


def _check_reachable(address: str) -> None:
    if address == "auto":
        return  # Ray looks for a cluster on this machine, and says at once that there is none
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ValueError(
            f"RAY_ADDRESS is {address!r}; give HOST:PORT of the cluster's head (port 6379 by "
            "default), 'auto' or 'local'; ray:// clients cannot train"
        )
    try:
        place = (host.strip("[]"), int(port))
        with socket.create_connection(place, CONNECT_TIMEOUT_SECONDS) as connection:
            may_be_ray = _may_be_grpc(connection)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"cannot reach Ray at {address} (RAY_ADDRESS): {error}; start it with "
            f"`ray start --head --port={port}` there, or unset RAY_ADDRESS for a local Ray"
        ) from error
    if not may_be_ray:
        raise ValueError(
            f"no Ray at {address} (RAY_ADDRESS), but something else; give HOST:PORT of the "
            "cluster's head (port 6379 by default), or unset RAY_ADDRESS for a local Ray"
        )


def _may_be_grpc(connection: socket.socket) -> bool:
    """Whether no other protocol answers: Ray itself tries for minutes where one does.

    A gRPC server answers the preface of HTTP/2 with a SETTINGS frame (RFC 9113, 3.4 and 4.1). One
    that is busy, or that wants TLS first, is Ray's to wait for.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("0", "false", ""):
        return True
    try:
        connection.sendall(HTTP2_PREFACE)
        header = connection.recv(9)
    except TimeoutError:
        return True
    except OSError:
        return False
    return header[3:4] == SETTINGS_FRAME
