"""The built wheel, installed without the checkout: what a user of `pip install` has."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

from electra_pipeline import __version__
from tests.tiny_world import tiny_config

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[1]
PACKAGES = ("electra_pipeline", "flows")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel, and the other packages of this one.

    A line of a .pth file adds those, but not what their own .pth files name, such as the checkout.
    """
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel), cwd=environment)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def pip(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def output_of(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints that succeeds, without the choices that the tests make."""
    changed = ("RAY_", "PYTHON")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(changed)}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    assert wheel.name.startswith(f"electra_pipeline-{__version__}-py3-none-any")
    expected = {
        str(file.relative_to(ROOT))
        for name in PACKAGES
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_commands_run_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = "import electra_pipeline, flows; print(electra_pipeline.__file__, flows.__file__)"
    files = output_of(installed / "python", "-c", where, cwd=tmp_path).split()
    assert all(Path(file).is_relative_to(installed.parent) for file in files)
    command = installed / "electra-pipeline"
    assert "torch" in output_of(command, "doctor", cwd=tmp_path)
    config = yaml.safe_load(output_of(command, "config", "--preset", "quickstart", cwd=tmp_path))
    assert config["name"] == "quickstart"


def test_a_tiny_run_ends_with_results(installed: Path, inputs: Path, tmp_path: Path) -> None:
    """The whole chain with the servers of Prefect and Ray that it starts: about 40 seconds."""
    config = tiny_config(inputs, "runs")
    config["scale"]["workers"] = 1
    config["finetune"] |= {"tasks": config["finetune"]["tasks"][:1], "seeds": [0]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    shown = output_of(installed / "electra-pipeline", "run", "--config", "tiny.yaml", cwd=tmp_path)
    assert "place" in shown and "report" in shown
    assert list(tmp_path.glob("runs/publish/*/discriminator/model.safetensors"))


def test_the_deployment_files_are_written(installed: Path, tmp_path: Path) -> None:
    command = installed / "electra-pipeline"
    output_of(command, "deployment-files", cwd=tmp_path)
    deployments = yaml.safe_load((tmp_path / "prefect.yaml").read_text())["deployments"]
    entrypoints = {each["entrypoint"] for each in deployments}
    load = "import sys; from prefect.flows import load_flow_from_entrypoint as load\n"
    load += "for entrypoint in sys.argv[1:]: print(load(entrypoint).name)"
    names = output_of(installed / "python", "-c", load, *sorted(entrypoints), cwd=tmp_path)
    assert len(names.split()) == len(entrypoints)
