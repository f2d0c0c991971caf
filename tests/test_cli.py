"""The command line: output and exit codes, in processes of their own where that matters."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from electra_pipeline.cli import app as cli
from electra_pipeline.cli import models
from electra_pipeline.core.yaml_text import parse_yaml
from electra_pipeline.presets import preset_names, preset_text
from electra_pipeline.results import store
from electra_pipeline.results.database import default_database
from electra_pipeline.storage.artifact import Written, produce

SENTENCES = (
    "The river rose in the night. People carried their goods to the hill.",
    "A small boat crossed the lake. The wind was cold and the water dark.",
    "Nobody knew the road. They asked a farmer and he showed them the way.",
    "Bread was dear that year. The miller sold his flour in the next town.",
)


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "electra_pipeline.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def predict(model: Path, text: bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    arguments = [sys.executable, "-m", "electra_pipeline.cli", "predict", str(model)]
    return subprocess.run(
        arguments,
        cwd=cwd,
        input=text,
        capture_output=True,
        timeout=600,
    )


# Each takes a tenth of a second to some seconds to import.
HEAVY = ("torch", "transformers", "numpy", "scipy", "sklearn", "pyarrow", "datasets", "pandas")
HEAVY += ("matplotlib", "prefect", "ray", "huggingface_hub", "httpx", "jinja2")


@pytest.mark.parametrize(
    "arguments",
    [("config", "--preset", "quickstart"), ("results", "--preset", "small"), ("presets",)],
)
def test_a_light_command_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = f"""
import sys
from electra_pipeline.cli.app import main
sys.argv = ["electra-pipeline", *{arguments}]
try:
    main()
except SystemExit as left:
    assert not left.code
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of made-up documents and a configuration for it."""
    folder = tmp_path_factory.mktemp("cli")
    lines = (
        json.dumps({"text": f"Chapter {n}. " + " ".join(SENTENCES[n % 4 :] + SENTENCES[: n % 4])})
        for n in range(60)
    )
    (folder / "text.jsonl").write_text("\n".join(lines))
    (folder / "mine.yaml").write_text(
        """
name: mine
root: runs
corpus: {sources: [{type: files, urls: [text.jsonl]}], language: en, held_out_fraction: 0.1}
tokenizer: {vocab_size: 100}
sequences: {length: 32}
pretrain:
  size: tiny
  steps: 4
  batch_sequences: 4
  warmup_steps: 1
  model: {hidden_size: 32, num_layers: 1, feed_forward_size: 32, embedding_size: 16}
"""
    )
    return folder


def run_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code and output of the command line in this process, where imports cost nothing."""
    monkeypatch.setattr(sys, "argv", ["electra-pipeline", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), *capsys.readouterr()


@pytest.mark.integration
def test_a_stage_runs_earlier_stages_and_a_second_run_reuses_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    first = command("publish", "--config", "mine.yaml", cwd=place)
    assert first.returncode == 0, first.stderr
    model = Path(first.stdout.strip())
    assert (place / model / "discriminator" / "model.safetensors").exists()
    code, stdout, stderr = run_here(monkeypatch, capsys, "publish", "--config", "mine.yaml")
    assert (code, stdout) == (0, first.stdout)
    assert stderr.count(": reused (") == 5
    _, stdout, _ = run_here(monkeypatch, capsys, "verify", "runs")
    assert stdout.count("ok ") == 5

    spoken = predict(model, b"The river rose.\n", place)
    assert spoken.returncode == 0, spoken.stderr
    assert len(spoken.stdout.splitlines()) == 1
    json.loads(spoken.stdout)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n")))
    code, _, stderr = run_here(monkeypatch, capsys, "predict", str(model))
    assert code == 2
    assert stderr.splitlines()[-1].startswith("error: line 1: byte 4: not valid utf-8")

    code, _, stderr = run_here(
        monkeypatch, capsys, "report", "--root", "runs", "--output", "absent/r.html"
    )
    assert code == 2
    assert stderr.startswith("error: absent/r.html: cannot be written (No such file")


def test_gc_lists_unneeded_artifacts_and_deletes_them_with_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(draft):  # type: ignore[no-untyped-def]
        draft.folder.write_bytes("data.bin", b"whole")
        return Written({}, {})

    identity = {"stage": "corpus", "name": "x", "format_version": 1, "inputs": {}, "write": write}
    old, newer = (produce(root=str(tmp_path), config={"n": n}, **identity) for n in (1, 2))
    for artifact, day in ((old, 1), (newer, 2)):
        artifact.folder.write_json("observed.json", {"created_at": f"2026-01-0{day}T00:00:00"})
    arguments = ("gc", "--root", str(tmp_path))
    code, stdout, _ = run_here(monkeypatch, capsys, *arguments)
    assert code == 0
    assert old.folder.name in stdout
    assert newer.folder.name not in stdout
    assert "unneeded  1 items, 3 files" in stdout
    assert old.folder.exists("manifest.json")
    code, stdout, _ = run_here(monkeypatch, capsys, *arguments, "--delete")
    assert (code, old.folder.exists(), newer.folder.exists("data.bin")) == (0, False, True)
    assert "deleted   1 items, 3 files" in stdout
    code, _, stderr = run_here(monkeypatch, capsys, *arguments, "--keep-run", "y")
    assert code == 2
    assert stderr.startswith("error: --keep-run y: no such run")


@pytest.mark.integration
def test_verify_names_the_damaged_file_and_exits_with_1(tmp_path: Path) -> None:
    def write(draft):  # type: ignore[no-untyped-def]
        draft.folder.write_bytes("data.bin", b"whole")
        return Written({}, {})

    artifact = produce(
        root=str(tmp_path),
        stage="corpus",
        name="x",
        format_version=1,
        config={},
        inputs={},
        write=write,
    )
    artifact.folder.write_bytes("data.bin", b"whale")
    result = command("verify", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 1
    assert "data.bin: sha256" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("config",), "give either --preset NAME or --config FILE"),
        (("config", "--preset", "quickstart", "--set", "pretrain.stepz=1"), "pretrain.stepz"),
        (("corpus", "--config", "absent.yaml"), "absent.yaml: no such file"),
        (("verify", "nowhere"), "nowhere: no finished artifact"),
        (("report", "--root", "nowhere", "--output", "x.html"), "nowhere: no published model"),
        (("predict", "nowhere/model"), "nowhere/model"),
        (("results", "--database", "nosuch://x"), "nosuch is not supported"),
        (("results", "--set", "name=x"), "--set changes a configuration; give --preset NAME or"),
        (("results", "--preset", "small", "--config", "x.yaml"), "give either --preset NAME or"),
        (("verify", "runs", "--preset", "small"), "runs: give either a path or --root, --config"),
        (("inspect", "runs", "--root", "r"), "runs: give either a path or --root, --config"),
        (("inspect",), "./runs: no corpus; `corpus` or `run` builds one"),
        (("inspect", "--preset", "small"), "./runs: no corpus of the run small; `corpus`"),
        (("submission", "--output", "x"), "give --run NAME, --config FILE or --preset NAME"),
        (("history", "--preset", "small"), "history: this command was renamed to learning-curve"),
        (("config", "--schema", "--preset", "small"), "leave out --preset/--config"),
    ],
)
def test_invalid_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, stderr = run_here(monkeypatch, capsys, *arguments)
    assert code == 2
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in stderr


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, stderr = run_here(monkeypatch, capsys, "--debug", "verify", "/nowhere")
    assert "Traceback" in stderr
    assert code == 2


def test_ctrl_c_has_a_message_and_the_exit_code_of_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> list[str]:
        signal.raise_signal(signal.SIGINT)
        return []

    monkeypatch.setattr("electra_pipeline.presets.preset_names", interrupted)
    code, _, stderr = run_here(monkeypatch, capsys, "presets")
    assert code == 130
    assert stderr == "interrupted; the same command resumes from here\n"


def test_missing_text_is_refused_before_anything_is_written(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    change = "corpus.sources.0.urls=[absent.txt]"
    code, _, stderr = run_here(
        monkeypatch, capsys, "corpus", "--config", str(place / "mine.yaml"), "--set", change
    )
    assert code == 2
    assert "absent.txt" in stderr
    assert not list(tmp_path.rglob("*.arrow"))


@pytest.mark.integration
def test_a_current_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    script = "import os, sys, electra_pipeline.cli.app as app; os.rmdir(os.getcwd()); app.main()"
    folder = tmp_path / "gone"
    folder.mkdir()
    left = subprocess.run(
        [sys.executable, "-c", script, "results"], cwd=folder, capture_output=True, text=True
    )
    assert (left.returncode, left.stdout) == (2, "")
    assert left.stderr == "error: the current folder was removed; go to another one (cd)\n"


def test_predict_logs_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(0, 100, 4))  # at each answer four more
    monkeypatch.setattr(models.time, "monotonic", lambda: next(seconds))
    assert list(models._with_progress("abcdef")) == list("abcdef")
    assert capsys.readouterr().err.splitlines() == [
        "predict 3 lines, 0.25 lines/s",
        "predict 6 lines, 0.25 lines/s",
    ]


@pytest.mark.integration
def test_doctor_names_the_remedy(tmp_path: Path) -> None:
    examined = command("doctor", cwd=tmp_path, RAY_ADDRESS="127.0.0.1:1", COLUMNS="200")
    assert examined.returncode == 0
    assert "torch" in examined.stdout
    assert "correct RAY_ADDRESS" in examined.stdout


@pytest.mark.integration
def test_doctor_checks_the_database_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nroot: mine\ndatabase: mysql://host/db\n")
    shown = command("doctor", "--config", "mine.yaml", cwd=tmp_path, COLUMNS="250").stdout
    (row,) = [line for line in shown.splitlines() if "results table" in line]
    assert "database mysql://host/db: mysql is not supported; write sqlite:///PATH" in row
    shown = command("doctor", "--root", "own", cwd=tmp_path, COLUMNS="90").stdout
    place = "".join(line.split("│")[2].strip() for line in shown.splitlines() if "│" in line)
    assert f"sqlite:///{tmp_path}/own/results.db" in place  # folded, never cut
    assert sorted(tmp_path.iterdir()) == [tmp_path / "mine.yaml"]


def test_a_check_that_fails_is_one_finding_of_doctor() -> None:
    from electra_pipeline.workflows.doctor import Finding, Target, examine

    def broken(target: Target) -> list[Finding]:
        raise KeyError("PREFECT")

    def whole(target: Target) -> list[Finding]:
        return [Finding(target.root, "there")]

    assert list(examine(Target("r"), (broken, whole))) == [
        Finding("broken", "cannot be checked", "KeyError: 'PREFECT'"),
        Finding("r", "there"),
    ]


def test_doctor_shows_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from electra_pipeline.workflows import doctor

    remedy = "pip install 'electra-pipeline[gcs]'"
    absent = doctor.Finding("gcsfs", "absent", remedy)
    monkeypatch.setattr(doctor, "examine", lambda target, checks: [absent])
    monkeypatch.setenv("COLUMNS", "200")
    cli.app(["doctor"], standalone_mode=False)
    assert remedy in capsys.readouterr().out


def test_an_empty_results_table_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.app(["results", "--format", "json"], standalone_mode=False)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert captured.err == f"no results in sqlite:///{tmp_path}/runs/results.db yet\n"


def test_sizes_that_do_not_match_are_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    change = "pretrain.model.num_heads=3"
    code, _, stderr = run_here(
        monkeypatch, capsys, "pretrain", "--config", "mine.yaml", "--set", change
    )
    assert code == 2
    assert stderr == "error: hidden_size 32 is not a multiple of num_heads 3\n"


def test_commands_on_results_take_root_database_and_run_from_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nroot: a\n")
    row = {"model": "pretrained", "fingerprint": "a" * 12, "task": "cola", "metric": "mcc"}
    row |= {"split": "validation", "seed": 0, "value": 0.5, "examples": 10, "seconds": 1.0}
    row |= {"trial": "", "created_at": "2026-01-01T00:00:00+00:00"}
    for root, run in (("a", "mine"), ("a", "other"), ("b", "mine"), ("b", "last")):
        store.record(default_database(root), [row | {"run": run, "note": root}])

    def rows(*arguments: str) -> list[tuple[str, str]]:
        code, stdout, stderr = run_here(
            monkeypatch, capsys, "results", "--format", "json", *arguments
        )
        assert code == 0, stderr
        return sorted((each["note"], each["run"]) for each in json.loads(stdout))

    assert rows("--root", "a") == [("a", "mine"), ("a", "other")]
    assert rows("--config", "mine.yaml") == [("a", "mine")]
    assert rows("--config", "mine.yaml", "--root", "b") == [("b", "mine")]
    assert rows("--config", "mine.yaml", "--run", "other") == [("a", "other")]
    assert rows("--config", "mine.yaml", "--set", "root=b", "--set", "name=last") == [("b", "last")]
    assert rows("--config", "mine.yaml", "--database", default_database("b")) == [("b", "mine")]
    code, _, stderr = run_here(
        monkeypatch, capsys, "report", "--config", "mine.yaml", "--output", "r.html"
    )
    assert code == 0, stderr
    assert "<title>mine: " in (tmp_path / "r.html").read_text()


def test_verify_and_gc_take_the_root_of_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nroot: a\n")
    identity = {"stage": "corpus", "format_version": 1, "inputs": {}, "config": {}}
    made = produce(root="a", name="mine", write=lambda _: Written({}, {}), **identity)  # type: ignore[arg-type]
    code, stdout, _ = run_here(monkeypatch, capsys, "verify", "--config", "mine.yaml")
    assert (code, stdout) == (0, f"ok       {made.folder}\n")
    code, stdout, _ = run_here(monkeypatch, capsys, "gc", "--config", "mine.yaml")
    assert code == 0 and "1 items" in stdout


def test_the_schema_is_valid_and_accepts_the_presets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, _ = run_here(monkeypatch, capsys, "config", "--schema")
    schema = json.loads(stdout)
    assert code == 0 and schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in preset_names():
        validator.validate(parse_yaml(preset_text(name)))
    with pytest.raises(jsonschema.ValidationError, match="stepz"):
        validator.validate({"name": "x", "pretrain": {"stepz": 1}})
    scale = schema["$defs"]["Scale"]["properties"]
    assert all(each["title"] and each["description"] for each in scale.values())


def test_deployment_files_are_those_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deployed"
    code, stdout, _ = run_here(monkeypatch, capsys, "deployment-files", str(folder))
    written = [Path(line) for line in stdout.splitlines()]
    assert code == 0 and written == [folder / "prefect.yaml", folder / "infra/automations.yaml"]
    for path in written:
        home = Path(__file__).parents[1] / path.relative_to(folder)
        assert path.read_text() == home.read_text(), f"copy flows/deployment to {home}"
    written[0].write_text("name: mine\n")
    code, _, stderr = run_here(monkeypatch, capsys, "deployment-files", str(folder))
    assert code == 2 and "exists and differs; give --overwrite to replace it" in stderr
    code, _, _ = run_here(monkeypatch, capsys, "deployment-files", str(folder), "--overwrite")
    assert code == 0 and "deployments:" in written[0].read_text()
