"""Runs that are killed, interrupted or refused: the command line, in process trees of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from electra_pipeline.storage.artifact import find_artifacts
from tests.faults.stack import family, kill
from tests.tiny_world import build_chain

COMMAND = [sys.executable, "-m", "electra_pipeline.cli"]


@pytest.fixture
def start(tmp_path):
    """Start a command on a configuration; processes of a failed test are killed."""
    started = []

    def start(config: dict[str, Any], command: str = "run", **changes: str) -> psutil.Popen:
        file = tmp_path / f"{len(started)}.yaml"
        file.write_text(yaml.safe_dump(config))
        # Without the choices about Ray that the tests make for themselves.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = psutil.Popen(
            [*COMMAND, command, "--config", str(file)],
            env=plain | {"PYTHONFAULTHANDLER": "1"} | changes,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(family(process))


def output_of(process: psutil.Popen, returncode: int = 0, timeout_seconds: float = 600) -> str:
    """Return its output once it has ended with the expected exit code."""
    try:
        output, _ = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _, *children = family(process)
        process.send_signal(signal.SIGABRT)  # says where each of its threads is
        kill(children)  # they hold the pipe
        output, _ = process.communicate()
        pytest.fail(f"still there after {timeout_seconds} seconds:\n{output[-16_000:]}")
    assert process.returncode == returncode, output[-4000:]
    return output


def wait_until(condition: Callable[[], Any], process: psutil.Popen) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, process.stdout.read()[-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def checkpoints(root: str) -> list[Path]:
    """Complete checkpoints: one that is being written has another name."""
    return list(Path(root).glob("pretrain/*/work/checkpoints/step-*.pt"))


def manifests(root: str) -> dict[str, bytes]:
    return {
        artifact.folder.name: artifact.folder.read_bytes("manifest.json")
        for artifact in find_artifacts(root)
    }


def undisturbed(config: dict[str, Any]) -> dict[str, bytes]:
    """The manifests of the chain in this process: neither Prefect nor Ray."""
    build_chain(config)
    return manifests(config["root"])


def test_a_run_that_is_interrupted_and_killed_resumes_to_equal_manifests(
    start, tiny, tmp_path, prefect_server
):
    tiny["finetune"] = None
    tiny["pretrain"]["steps"] = 200
    tiny["scale"] = {"workers": 1, "checkpoint_every_steps": 20}
    expected = undisturbed(tiny | {"root": str(tmp_path / "undisturbed")})

    # With a checkpoint after each step, which changes no byte, most of the run is still to come.
    often = tiny | {"scale": {"workers": 1, "checkpoint_every_steps": 1}}
    # No server is given: Prefect starts one for the run, which has to end with it.
    process = start(often)
    wait_until(lambda: checkpoints(tiny["root"]), process)
    processes = family(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output_of(process, returncode=130)
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert alive == []

    before = set(checkpoints(tiny["root"]))
    process = start(often, PREFECT_API_URL=prefect_server)
    wait_until(lambda: set(checkpoints(tiny["root"])) - before, process)
    kill(family(process))
    assert not [a for a in find_artifacts(tiny["root"]) if a.stage == "pretrain"]

    output = output_of(start(tiny, PREFECT_API_URL=prefect_server))
    assert "resuming" in output
    assert manifests(tiny["root"]) == expected


def test_ctrl_c_ends_a_stage_that_runs_in_the_process_of_the_flow(start, tiny, prefect_server):
    # Its thread cannot be stopped from outside; left alone, it would read on for minutes.
    repeated = [{"text": " ".join(f"{n}x{m}" for m in range(1500))} for n in range(1000)]
    documents = Path(tiny["root"]).with_name("long.jsonl")
    documents.write_text("".join(json.dumps(document) + "\n" for document in repeated))
    tiny["corpus"]["sources"][0]["urls"] = [str(documents)]
    process = start(tiny, PREFECT_API_URL=prefect_server)
    wait_until(lambda: list(Path(tiny["root"]).glob("tokenizer/.*.lock")), process)
    os.killpg(process.pid, signal.SIGINT)
    output = output_of(process, returncode=130)
    assert "Ray was shut down: the run was interrupted" in output
    assert not list(Path(tiny["root"]).glob("tokenizer/*/manifest.json"))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:1/api", "cannot reach the Prefect server at"),
        ("RAY_ADDRESS", "127.0.0.1:1", "cannot reach Ray at 127.0.0.1:1 (RAY_ADDRESS)"),
    ],
)
def test_an_address_that_does_not_answer_is_one_line(
    start, tiny, prefect_server, variable, value, message
):
    process = start(tiny, **({"PREFECT_API_URL": prefect_server} | {variable: value}))
    output = output_of(process, returncode=2)
    assert f"\nerror: {message}" in f"\n{output}"
    assert "Traceback" not in output
    assert not Path(tiny["root"]).exists()


def test_more_workers_than_the_machine_has_is_one_line(start, tiny, prefect_server):
    tiny["scale"]["workers"] = 10_000
    process = start(tiny, PREFECT_API_URL=prefect_server)
    output = output_of(process, returncode=2)
    assert "\nerror: scale.workers is 10000, each takes one " in output
    assert "Traceback" not in output
    assert not Path(tiny["root"]).exists()
