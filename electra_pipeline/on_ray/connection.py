"""Connect to, start and shut down Ray."""

import ctypes
import logging
import os
import secrets
import signal
import site
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import THREAD_ENVIRONMENT
from electra_pipeline.storage import local_folders

LOCAL = "local"  # the address of a Ray that is started for this run only
CONNECT_TIMEOUT_SECONDS = 5.0  # Ray itself tries an unreachable address for minutes
CLOSE_TIMEOUT_SECONDS = 10.0  # a call takes half a second, more only if Ray hangs
# Results travel as artifacts, not through Ray: its default of 30 % of the memory would be wasted.
OBJECT_STORE_BYTES = 200_000_000
# In the error of ray.init if its processes need more than 30 seconds to start, a fixed limit of
# node.py. They end with the thread that started them.
TOO_SLOW = "timed out during startup"
START_ATTEMPTS = 4
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS_FRAME = b"\x04"
UNREACHABLE = "http://127.0.0.1:9"  # the discard port: refused at once

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # After a shutdown the next call must fail. By default it would silently start another Ray.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # A task that requested no GPU sees none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # By default a task that runs out of memory is restarted forever.
    "RAY_task_oom_retries": "2",
    # Delay until a dead worker or the end of the training is noticed; the default is 2 seconds.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Workers wait up to a year for resources, as tasks do; a warning is logged after a minute.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "31536000",
    # It only reports, and costs each training another process; checkpoints protect the work.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Workers keep the driver's working directory, so that relative paths are the same for both.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    **THREAD_ENVIRONMENT,
}


logger = logging.getLogger(__name__)


class Connection:
    """Guards the calls into Ray: the first connects to it, and after its shutdown none is made.

    A run that finds everything finished makes no call, and never starts Ray, which takes seconds.

    A thread that calls Ray after its shutdown ends the whole process, from C++ and silently. So
    each call is made inside `with connection:`, and `close` waits for the current ones. Long calls
    are divided into short ones; only `TorchTrainer.fit` stays inside Ray, which tolerates that.
    """

    def __init__(self, start: Callable[[], None] = lambda: None) -> None:
        self._start = start
        self._starting = threading.RLock()  # the checks are inside, too
        self._is_started = False
        self._checks: list[Callable[[], None]] = []
        self._closing = threading.Lock()
        self._changed = threading.Condition()
        self._num_inside = 0
        self._closed = False
        self.starting_queue = threading.Lock()
        self.message_queue: Any = None
        """A `MessageQueue` for the fan-outs of this connection, started by the first of them."""

    def when_started(self, check: Callable[[], None]) -> None:
        """Call `check` now if Ray is started, else between its start and the first call into it."""
        with self._starting:
            if not self._is_started:
                return self._checks.append(check)
        return check()

    def check_open(self) -> None:
        """Raise RuntimeError after the shutdown; does not start Ray."""
        if self._closed:
            raise RuntimeError("Ray was shut down: the run was interrupted")

    def __enter__(self) -> None:
        with self._changed:
            self.check_open()
            self._num_inside += 1
        try:
            with self._starting:
                if not self._is_started:
                    self._start()
                    self._is_started = True
                    for check in self._checks:
                        check()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._num_inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Shut Ray down, which ends all work of this driver.

        Any thread may call this; it returns when Ray is down. Two threads in `ray.shutdown` at the
        same time would end the process or hang, so they call it one after the other.
        """
        with self._closing:
            with self._changed:
                self._closed = True
                self._changed.wait_for(lambda: self._num_inside == 0, CLOSE_TIMEOUT_SECONDS)
            if self._is_started:
                import ray

                ray.shutdown()


@contextmanager
def connect(address: str) -> Iterator[Connection]:
    """Provide a connection to Ray at `address` until the end of the block; see `cluster`."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"address": address, "log_to_driver": False}
    if address == LOCAL:
        _check_not_imported()
        local_folders.of_ray().check()
        _keep_local()
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _check_reachable(address)
        _choose_authentication()

    if _is_connected():
        yield Connection()
        return
    stop = threading.Event()
    connection = Connection(partial(_start, address, options, stop))
    try:
        yield connection
    finally:
        connection.close()
        stop.set()


def _is_connected() -> bool:
    """Return whether this process is connected to Ray, without importing it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _start(address: str, options: Mapping[str, Any], stop: threading.Event) -> None:
    for attempts_left in range(START_ATTEMPTS - 1, -1, -1):
        started: Future[None] = Future()
        arguments = (options, started, stop)
        threading.Thread(target=_hold, args=arguments, daemon=True, name="ray").start()
        try:
            return started.result()
        except Exception as error:
            if TOO_SLOW in str(error) and attempts_left > 0:
                logger.warning(
                    "Ray did not start within 30 seconds: the machine is busy; trying again"
                )
            elif address == LOCAL:
                raise ValueError(
                    f"cannot start Ray on this machine: {first_line(error)}; if the machine is "
                    "busy, try again later, or set RAY_ADDRESS to a running Ray"
                ) from error
            else:
                raise ValueError(
                    f"cannot connect to Ray at {address!r} (RAY_ADDRESS): {first_line(error)}; "
                    "run on a node of that cluster (`ray start --address=...`), or unset "
                    "RAY_ADDRESS for a local Ray"
                ) from error
    return None


def _hold(options: Mapping[str, Any], started: "Future[None]", stop: threading.Event) -> None:
    """Connect to Ray in this thread, and keep the thread until `stop`.

    In the main thread ray.init would replace the handler of SIGTERM, and Prefect would record a
    cancelled run as crashed. In another thread it keeps Python's handlers, but that thread must
    outlive Ray: the kernel kills Ray's processes when the thread that started them ends
    (PR_SET_PDEATHSIG).
    """
    import ray
    from ray.job_config import JobConfig

    logging.getLogger("ray").setLevel(logging.ERROR)
    # By default Ray puts the driver's current folder at the front of the import path of workers: a
    # random.py there would break them, a copy of this package there would replace this one. It does
    # not for a job of a client, and this flag changes nothing else (_private/worker.py).
    job = JobConfig(_client_job=True, _py_driver_sys_path=own_import_paths())
    try:
        with _kept_sigterm():
            ray.init(**options, job_config=job, configure_logging=False)
    except BaseException as error:
        started.set_exception(error)
        return
    started.set_result(None)
    stop.wait()


def own_import_paths() -> list[str]:
    """Return the import path of this process without its Python's own folders, in reverse order.

    Ray's workers insert each folder at the front of their import path, one after the other.
    """
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    of_python = {Path(folder).resolve() for folder in folders}
    paths = [Path(entry).resolve() for entry in sys.path]  # '' is the current folder
    own = [str(path) for path in paths if not of_python & {path, *path.parents}]
    return list(dict.fromkeys(own))[::-1]


@contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Restore the process's handler of SIGTERM at the end of the block.

    Below Python, Ray installs absl's handler (InstallFailureSignalHandler), which aborts the
    process three seconds later, while it is still shutting down. `signal.signal` restores a handler
    only in the main thread, so these are the functions that it calls.
    """
    get, replace = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
    replace.argtypes, replace.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    handler = get(signal.SIGTERM)
    try:
        yield
    finally:
        replace(signal.SIGTERM, handler)


def _check_not_imported() -> None:
    """Raise ValueError if Ray was imported too early: it reads its environment on import."""
    if "ray" in sys.modules and not _is_connected() and "RAY_AUTH_MODE" not in os.environ:
        raise ValueError(
            "ray was imported before a local Ray could be restricted to this machine; import it "
            "inside functions, call ray.init() yourself, or set RAY_ADDRESS to a cluster"
        )


def _keep_local() -> None:
    """Restrict a local Ray to this machine and, unless configured, to holders of its token."""
    # Despite its name, this makes Ray bind to loopback instead of the interface's address.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Ray Train's cleanup of placement groups asks the dashboard whether its controller is alive.
    # Without a dashboard it tries until a timeout, 12 seconds at the end of each training.
    os.environ.setdefault("RAY_API_SERVER_ADDRESS", UNREACHABLE)
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        # A token in the environment is not written to ~/.ray, where other clusters would use it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _choose_authentication() -> None:
    """Use a token if there is one; Ray's own clients do not while `RAY_AUTH_MODE` is unset."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    has_token = "RAY_AUTH_TOKEN" in os.environ or file.exists()
    os.environ.setdefault("RAY_AUTH_MODE", "token" if has_token else "disabled")


def _check_reachable(address: str) -> None:
    if address == "auto":
        return  # Ray looks for a cluster on this machine, and raises at once if there is none
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ValueError(
            f"RAY_ADDRESS is {address!r}; give HOST:PORT of the cluster's head (port 6379 by "
            "default), 'auto' or 'local'; ray:// clients cannot train"
        )
    try:
        endpoint = (host.strip("[]"), int(port))
        with socket.create_connection(endpoint, CONNECT_TIMEOUT_SECONDS) as connection:
            may_be_ray = _may_be_grpc(connection)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"cannot reach Ray at {address} (RAY_ADDRESS): {error}; start it with "
            f"`ray start --head --port={port}` there, or unset RAY_ADDRESS for a local Ray"
        ) from error
    if not may_be_ray:
        raise ValueError(
            f"no Ray at {address} (RAY_ADDRESS), but another service; give HOST:PORT of the "
            "cluster's head (port 6379 by default), or unset RAY_ADDRESS for a local Ray"
        )


def _may_be_grpc(connection: socket.socket) -> bool:
    """Return False if another protocol answers, in which case Ray itself would try for minutes.

    A gRPC server answers the preface of HTTP/2 with a SETTINGS frame (RFC 9113, 3.4 and 4.1). A
    server that is busy or requires TLS may be Ray.
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
