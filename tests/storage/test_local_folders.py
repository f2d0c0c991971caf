"""Checks of the local folders that a run needs."""

import shutil
from pathlib import Path

import pytest

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.on_ray import cluster
from electra_pipeline.storage import local_folders
from electra_pipeline.storage.folder import cache_directory
from electra_pipeline.workflows import preflight
from electra_pipeline.workflows.doctor import CHECKS, Target, examine
from flows.local import run_here

VARIABLES = {
    "TMPDIR": local_folders.temporary,
    "ELECTRA_PIPELINE_CACHE": local_folders.cache,
    "RAY_TMPDIR": local_folders.of_ray,
    "PREFECT_HOME": local_folders.of_prefect,
    "HF_HOME": local_folders.of_hugging_face,
}


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    """A folder that cannot be created, not even by root: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "below"


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_unusable_folder_is_reported_with_its_variable(
    variable: str, unusable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_folders, "SOCKET_BYTES", 1000)
    monkeypatch.setenv(variable, str(unusable))
    with pytest.raises(ValueError, match="cannot be written") as raised:
        VARIABLES[variable]().check()
    assert str(raised.value).startswith(f"{variable} ({unusable}, ")
    assert str(raised.value).endswith(f"set {variable} to another folder")
    found = {each.subject: each for each in examine(Target("runs"), CHECKS)}
    assert f"set {variable} to another folder" in found[variable].remedy


@pytest.mark.parametrize("variable", VARIABLES)
def test_checking_a_usable_folder_leaves_no_files(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_folders, "SOCKET_BYTES", 1000)
    monkeypatch.setenv(variable, str(tmp_path / "not" / "yet"))
    assert VARIABLES[variable]().problem() == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_home_directory(unusable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*VARIABLES, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(unusable))
    for folder in (
        local_folders.cache(),
        local_folders.of_prefect(),
        local_folders.of_hugging_face(),
    ):
        with pytest.raises(ValueError, match=rf"{folder.variable} \(not set, by default /"):
            folder.check()


def test_a_user_without_a_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ELECTRA_PIPELINE_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert local_folders.cache().path == Path("/nonexistent/.cache/electra-pipeline")


def test_a_full_disk_is_reported_before_work_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "5 MB free, at least 200 are needed" in local_folders.temporary().problem()


def test_a_name_too_long_for_a_socket_is_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 100)))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with (
        pytest.raises(ValueError, match=r"RAY_TMPDIR .*from TMPDIR\) is too long .*39 bytes; set"),
        cluster("local"),
    ):
        pass
    for length, is_long in ((39, False), (40, True)):
        folder = "/" + "y" * (length - 1)
        monkeypatch.setenv("RAY_TMPDIR", folder)
        assert ("too long" in local_folders.of_ray().problem()) == is_long


def test_commands_check_local_folders_first(
    tmp_path: Path, unusable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = {"sources": [{"type": "files", "urls": ["a.txt"]}]}
    values = {"name": "a", "corpus": corpus, "root": str(tmp_path / "runs")}
    config = PipelineConfig.model_validate(values)
    remote = PipelineConfig.model_validate(values | {"root": "memory://machine"})
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(unusable))
        with pytest.raises(ValueError, match="TMPDIR"):
            preflight.check(config, LocalExecutor())
    with monkeypatch.context() as patch:
        patch.setenv("ELECTRA_PIPELINE_CACHE", str(unusable))
        with pytest.raises(ValueError, match="ELECTRA_PIPELINE_CACHE"):
            preflight.check(remote, LocalExecutor())
        with pytest.raises(ValueError, match="ELECTRA_PIPELINE_CACHE"):
            cache_directory()
        preflight.check(config, LocalExecutor())  # which needs no cache
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(unusable))
        with pytest.raises(ValueError, match="PREFECT_HOME"):
            run_here(config)
