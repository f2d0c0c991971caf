"""infra/: the files load, and their versions are the pinned ones."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line)


def test_pinned_versions_are_the_ones_that_files_name():
    assert load("infra/k8s/raycluster.yaml")["spec"]["rayVersion"] == pinned()["ray"]
    assert load("prefect.yaml")["prefect-version"] == pinned()["prefect"]
    python = re.search(r"^FROM python:([\d.]+)", (ROOT / "infra/Dockerfile").read_text(), re.M)
    required = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert python and required and python[1] == required[1]


def test_the_image_copies_what_is_there():
    for line in (ROOT / "infra/Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), line


def test_all_services_of_ours_run_one_image():
    services = load("infra/compose.yaml")["services"]
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("postgres").startswith("postgres:")
    assert set(images.values()) == {"electra-pipeline"}
