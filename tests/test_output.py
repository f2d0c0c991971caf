"""The command line with narrow encodings, closed streams and readers that leave."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from electra_pipeline.cli import output
from electra_pipeline.core.console import progress_display
from electra_pipeline.core.progress import Update
from electra_pipeline.results.tables.results_table import render_results
from electra_pipeline.storage.artifact import Written, produce

NARROW = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"},
]


def command(
    *arguments: str, cwd: Path, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "electra_pipeline.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=600,
    )


@pytest.mark.integration
@pytest.mark.parametrize("environment", NARROW)
@pytest.mark.parametrize("arguments", [("presets",), ("gc", "--help"), ("--help",), ("verify",)])
def test_commands_work_in_narrow_encodings(
    arguments: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    identity = {"stage": "corpus", "name": "a", "format_version": 1, "config": {}, "inputs": {}}
    root = str(tmp_path / "ü中😀")
    produce(root=root, write=lambda _: Written({}, {}), **identity)  # type: ignore[arg-type]
    if arguments == ("verify",):
        arguments = ("verify", root)
    done = command(*arguments, cwd=tmp_path, COLUMNS="80", **environment)
    shown = done.stdout.decode("latin-1")
    if arguments[0] == "verify" and environment == NARROW[2]:
        assert done.returncode == 2 and b"set LC_ALL=C.UTF-8 or PYTHONUTF8=1" in done.stderr
        return
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.isascii() or (environment == NARROW[0] and "ü" in shown)
    if arguments[0] == "verify":
        assert r"\u4e2d\ud83d\ude00" in shown


@pytest.mark.integration
@pytest.mark.parametrize("environment", NARROW)
def test_an_error_names_the_remedy_for_a_narrow_encoding(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = command("verify", "中", cwd=tmp_path, **environment)
    assert done.returncode == 2
    reason = b"set LC_ALL=C.UTF-8" if environment == NARROW[2] else b"no finished artifact"
    assert reason in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.integration
def test_a_configuration_stays_the_same_in_escapes(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: a\nroot: ü中\n", "utf-8")
    done = command("config", "--config", "c.yaml", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert yaml.safe_load(done.stdout)["root"] == "ü中"
    assert done.stdout.isascii()


@given(text=st.text(st.characters(codec=None)))
def test_json_stays_json_in_any_encoding(text: str) -> None:
    output.prepare()
    for encoding in ("ascii", "latin-1", "cp1252", "koi8-r"):
        buffer = io.BytesIO()
        stream = io.TextIOWrapper(buffer, encoding, errors=output.ESCAPES, newline="")
        stream.write(json.dumps(text, ensure_ascii=False))
        stream.flush()
        assert json.loads(buffer.getvalue().decode(encoding)) == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_in_utf8_or_ascii(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output.prepare()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    text = output.json_text(json.dumps("ü中😀", ensure_ascii=False))
    assert json.loads(text) == "ü中😀"
    assert text.isascii() == (encoding != "utf-8")


def test_a_results_table_is_drawn_in_ascii() -> None:
    row = {"run": "a", "model": "random", "fingerprint": "b", "task": "cola", "metric": "mcc"}
    row |= {"split": "validation", "seed": 0, "value": 0.5, "examples": 9, "seconds": 1.0}
    row |= {"trial": "c", "created_at": "2026-01-01T00:00:00+00:00", "note": None}
    lines = render_results([row], "table").splitlines()
    assert lines[1].strip("-") == "" and len(lines) == 3
    assert "".join(lines).isascii()


def test_progress_on_a_terminal_of_ascii() -> None:
    buffer = io.BytesIO()
    screen = io.TextIOWrapper(buffer, "ascii")  # strict: a character too many is an error
    console = Console(file=screen, force_terminal=True, width=60)
    with progress_display(console) as progress:
        progress(Update("pretrain", 1, 10, "steps", {f"fact {n}": 1.0 for n in range(20)}))
        progress(Update("finetune", 1, 10, "steps", {"loss": 0.5}, item="x" * 90))
    screen.flush()
    assert b"pretrain" in buffer.getvalue()


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [("--help",), ("presets",), ("config", "--preset", "glue")])
def test_a_reader_that_leaves_is_no_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = command(*arguments, cwd=tmp_path, stdout=writer)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode in (1, output.READER_LEFT)  # 1 is rich's


def test_a_broken_connection_is_still_an_error() -> None:
    assert not output.reader_left(BrokenPipeError())
    assert not output.reader_left(OSError())


@pytest.mark.integration
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_is_no_error(closed: str, tmp_path: Path) -> None:
    redirect = {"stdout": ">&-", "stderr": "2>&-"}[closed]
    line = f"{sys.executable} -m electra_pipeline.cli presets {redirect}"
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, env=os.environ, capture_output=True, timeout=600
    )
    assert (done.returncode, done.stderr) == (0, b"")
