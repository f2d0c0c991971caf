"""Ray's workers have the import path of the driver, without its current folder."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import electra_pipeline
from electra_pipeline.on_ray.connection import own_import_paths

DRIVER = """
import json, sys
from electra_pipeline.on_ray import cluster

def where(name):
    import importlib
    import electra_pipeline
    return [electra_pipeline.__file__, importlib.import_module(name).__file__]

if __name__ == "__main__":
    with cluster() as executor:
        outcomes = list(executor.map(where, ["random", "profile", "beside"]))
    print(json.dumps([each.value for each in sorted(outcomes, key=lambda each: each.index)]))
"""
TRAP = "raise SystemExit('imported from the current folder')\n"


def test_import_paths_are_those_of_the_driver_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_python = [each for each in sys.path if "lib/python" in each and "packages" in each]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/a", *of_python, json.__file__, "/b", "/a"])
    assert own_import_paths() == ["/b", "/a", str(tmp_path.resolve())]


@pytest.mark.integration
def test_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    here, scripts = tmp_path / "here", tmp_path / "scripts"
    for name in ("random", "profile", "logging", "beside", "electra_pipeline/__init__"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / f"{name}.py").write_text(TRAP)
    scripts.mkdir()
    (scripts / "beside.py").write_text("")
    (scripts / "driver.py").write_text(textwrap.dedent(DRIVER))
    ours = Path(electra_pipeline.__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(ours.parent)}
    done = subprocess.run(
        [sys.executable, str(scripts / "driver.py")],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert {package for package, _ in found} == {str(ours / "__init__.py")}
    assert [Path(file).parent == here for _, file in found] == [False] * 3
    assert found[2][1] == str(scripts / "beside.py")
