"""What this machine has, what is missing, and the remedy."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from electra_pipeline.storage.places import shown

# The ranges of pyproject.toml that fail silently or late when another tool has changed them.
FRAGILE = {
    "fastapi": (">=0.139,<0.151", "no flow starts with a newer one under Prefect 3.8"),
    "sqlalchemy": (">=2.0.40,<2.1", "Prefect 3.8 never creates a scheduled run with 2.1"),
    "ray": (">=2.60,<2.61", "the executor is written for this release"),
    "transformers": (">=5.23,<5.24", "models are exported for this release"),
}
CONNECT_SECONDS = 3.0
ENOUGH_DISK_GIB = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is empty where nothing is wrong."""

    subject: str
    found: str
    remedy: str = ""


def examine(root: str) -> Iterator[Finding]:
    """Look at this machine, one finding after the other."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield _machine()
    yield from _accelerators()
    for package in ("prefect", *FRAGILE):
        yield _package(package)
    yield _server("Ray", "RAY_ADDRESS", "a local Ray is started for each run")
    yield _server("Prefect", "PREFECT_API_URL", "a temporary Prefect server is started")
    yield _storage(root)
    for module, remedy in (
        ("s3fs", "pip install s3fs, for roots and sources on s3://"),
        ("gcsfs", "pip install 'electra-pipeline[gcs]', for gs://"),
        ("psycopg", "pip install 'psycopg[binary]', for results in PostgreSQL"),
    ):
        present = importlib.util.find_spec(module) is not None
        yield Finding(module, "installed" if present else "absent", "" if present else remedy)


def _machine() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("machine", f"{os.cpu_count()} CPU cores, {memory:.0f} GiB of memory")


def _accelerators() -> Iterator[Finding]:
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
            f"{variable}={shown(address)}: {error}",
            f"start {name} there, correct {variable}, or unset it",
        )


def _storage(root: str) -> Finding:
    if "://" in root:
        return Finding("root", root)
    path = Path(root).absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free / 2**30
    remedy = "" if free >= ENOUGH_DISK_GIB else "free some space or give another --root"
    if not os.access(path, os.W_OK):
        remedy = f"{path} cannot be written; give another --root"
    return Finding("root", f"{root}: {free:.0f} GiB free", remedy)
