"""Checks of this machine: packages, servers, storage, and remedies for what is missing."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from electra_pipeline.storage import local_folders
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.uri import redacted

# Version ranges of pyproject.toml whose violation shows silently or late.
FRAGILE = {
    "fastapi": (">=0.139,<0.151", "no flow starts with a newer one under Prefect 3.8"),
    "sqlalchemy": (">=2.0.40,<2.1", "Prefect 3.8 never creates a scheduled run with 2.1"),
    "ray": (">=2.60,<2.61", "the executor is written for this release"),
    "transformers": (">=5.23,<5.24", "models are exported for this release"),
}
CONNECT_SECONDS = 3.0
ENOUGH_DISK_BYTES = 5 * 2**30
OPTIONAL = {
    "s3fs": "pip install s3fs, for roots and sources on s3://",
    "gcsfs": "pip install 'electra-pipeline[gcs]', for gs://",
    "psycopg": "pip install 'psycopg[binary]', for results in PostgreSQL",
}


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` is empty if nothing is wrong."""

    subject: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Target:
    """The root and the results table that a run would use."""

    root: str
    database: str | None = None
    """URL of the results table; None is the root's own."""


Check = Callable[[Target], Iterable[Finding]]


def examine(target: Target, checks: Iterable[Check]) -> Iterator[Finding]:
    """Run the checks and yield their findings; an exception in a check is a finding, too."""
    for check in checks:
        try:
            yield from check(target)
        except Exception as error:
            subject = check.__name__.strip("_")
            yield Finding(subject, "cannot be checked", f"{type(error).__name__}: {error}")


def _python(target: Target) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")


def _packages(target: Target) -> Iterator[Finding]:
    for package in ("prefect", *FRAGILE):
        yield _package(package)
    for module, remedy in OPTIONAL.items():
        present = importlib.util.find_spec(module) is not None
        yield Finding(module, "installed" if present else "absent", "" if present else remedy)


def _servers(target: Target) -> Iterator[Finding]:
    yield _server("Ray", "RAY_ADDRESS", "a local Ray is started for each run")
    yield _server("Prefect", "PREFECT_API_URL", "a temporary Prefect server is started")


def _folders(target: Target) -> Iterator[Finding]:
    for folder in local_folders.all_folders():
        remedy = ""
        if problem := folder.problem():
            remedy = f"{problem}; set {folder.variable} to another folder"
        yield Finding(folder.variable, f"{folder.path}: {folder.use}", remedy)


def _output(target: Target) -> Iterator[Finding]:
    encoding = sys.stdout.encoding
    yield Finding("terminal", f"encoding {encoding}; other characters are printed as \\u1234")


def _machine(target: Target) -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("machine", f"{os.cpu_count()} CPU cores, {memory:.0f} GiB of memory")


def _accelerators(target: Target) -> Iterator[Finding]:
    import torch

    yield Finding("torch", torch.__version__)
    if not torch.cuda.is_available():
        yield Finding("accelerator", "none; training runs on the CPU")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bfloat16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        memory = properties.total_memory / 2**30
        yield Finding("accelerator", f"{properties.name}, {memory:.0f} GiB, {bfloat16}")


def _package(package: str) -> Finding:
    version = importlib.metadata.version(package)
    if package in FRAGILE:
        allowed, reason = FRAGILE[package]
        if version not in SpecifierSet(allowed):
            return Finding(package, version, f"pip install '{package}{allowed}': {reason}")
    return Finding(package, version)


def _server(name: str, variable: str, otherwise: str) -> Finding:
    address = os.environ.get(variable)
    if not address or address in ("local", "auto"):
        return Finding(name, f"{variable} is not set: {otherwise}")
    parts = urlsplit(address if "://" in address else f"//{address}")
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return Finding(name, f"reachable at {host}:{port} ({variable})")
    except OSError as error:
        return Finding(
            name,
            f"{variable}={redacted(address)}: {error}",
            f"start {name} there, correct {variable}, or unset it",
        )


def _storage(target: Target) -> Iterator[Finding]:
    root = target.root
    try:
        folder = Folder(root)
        if not folder.is_local:
            yield Finding("root", root)
            return
    except ValueError as error:
        yield Finding("root", root, str(error))
        return
    artifacts = local_folders.MachineFolder(
        "artifacts", "--root", Path(folder.path), ENOUGH_DISK_BYTES
    )
    if problem := artifacts.problem():
        yield Finding("root", root, f"{problem}; give another --root")
        return
    existing = next(each for each in (artifacts.path, *artifacts.path.parents) if each.exists())
    yield Finding("root", f"{root}: {shutil.disk_usage(existing).free / 2**30:.0f} GiB free")


def _database(target: Target) -> Iterator[Finding]:
    from electra_pipeline.results import store
    from electra_pipeline.results.database import default_database, redacted_database

    try:
        url = target.database or default_database(target.root)
    except ValueError:
        return  # an invalid root is a finding of its own
    try:
        store.read_costs(url, run="")  # creates nothing
    except ValueError as error:
        yield Finding("results table", "cannot be used", str(error))
        return
    yield Finding("results table", redacted_database(url))


# All checks, in this order.
CHECKS: tuple[Check, ...] = (
    _python,
    _machine,
    _accelerators,
    _packages,
    _servers,
    _storage,
    _database,
    _folders,
    _output,
)
