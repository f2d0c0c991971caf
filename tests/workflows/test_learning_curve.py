"""The learning curve of a model: each checkpoint is scored once, like the last step."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from electra_pipeline.cli import app as cli
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.finetuning import run as finetuning
from electra_pipeline.results import learning_curves as curves
from electra_pipeline.results import store
from electra_pipeline.storage.artifact import find_artifacts
from electra_pipeline.workflows import learning_curve, record, report
from tests.tiny_world import build_chain

NAME = "tiny-test"
KEPT = (8, 16)
LAST = 20


@pytest.fixture
def given(finished: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose pre-training is finished, with a short fine-tuning of one task."""
    (task, _) = finished["finetune"]["tasks"]
    del task["validation"]
    finished["finetune"] |= {
        "tasks": [task | {"validation_fraction": 0.5}],
        "baselines": ["random"],
    }
    finished["scale"] = {"keep_every_steps": 8, "tensorboard": False}
    return finished


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["electra-pipeline", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def runs() -> set[str]:
    """The names under which the checkpoints and the last step are in the results table."""
    return {NAME, *(f"{NAME}@{step}" for step in KEPT)}


def manifests(root: str) -> dict[str, bytes]:
    found = find_artifacts(root)
    return {str(each.folder): each.folder.read_bytes("manifest.json") for each in found}


def test_one_command_scores_every_checkpoint_once(
    given: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given))
    arguments = ["learning-curve", "--config", str(tmp_path / "tiny.yaml")]
    code, _, err = command(monkeypatch, capsys, *arguments, "--root", str(tmp_path / "empty"))
    assert code == 2 and "pre-train it first, with scale.keep_every_steps" in err
    code, out, err = command(monkeypatch, capsys, *arguments)
    assert code == 0, err
    header, *_ = out.splitlines()
    assert header.split() == ["task", "metric", "split", "step", "8", "step", "16", "step", "20"]
    root = given["root"]
    rows = store.read(f"sqlite:///{root}/results.db")
    trials = {(r["run"], r["model"], r["seed"]) for r in rows if r["task"] == "place"}
    of_steps = {
        (f"{NAME}@{step}", model, s)
        for step in KEPT
        for model in ("pretrained", "majority")
        for s in (0, 1)
    }
    last = {(NAME, model, s) for model in ("pretrained", "random", "majority") for s in (0, 1)}
    assert trials == of_steps | last
    assert {r["run"] for r in rows if r["task"] == "pretraining"} == runs()
    page = Path(root, f"{NAME}-report.html").read_text()
    assert "place accuracy, validation" in page and "pre-training step" in page

    before = manifests(root)
    code, again, _ = command(monkeypatch, capsys, *arguments)
    assert (code, again) == (0, out)
    assert manifests(root) == before

    # the report of the run has the learning curve too; its model is that of the last step
    code, _, err = command(
        monkeypatch, capsys, "report", "--root", root, "--output", str(tmp_path / "r.html")
    )
    assert code == 0, err
    assert "place accuracy, validation" in (tmp_path / "r.html").read_text()
    assert f"<title>{NAME}: " in (tmp_path / "r.html").read_text()


def test_a_second_run_computes_only_missing_trials_also_after_a_failure(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PipelineConfig.model_validate(given)
    real = finetuning.run_trial
    called = []

    def fails_at_16(trial: Any, **options: Any) -> Any:
        called.append((trial.run, trial.init, trial.seed))
        if trial.run == f"{NAME}@16" and trial.seed == 1:
            raise OSError("the machine is gone")
        return real(trial, **options)

    monkeypatch.setattr(finetuning, "run_trial", fails_at_16)
    found = learning_curve.run(config, config.context(LocalExecutor(1)))
    failed = found.evaluation.failed_trials
    assert failed == [f"{NAME}@16, place, pretrained, seed 1: the machine is gone"]
    assert len(found.evaluation.finished) == 7 and len(called) == 8
    monkeypatch.setattr(
        finetuning,
        "run_trial",
        lambda trial, **options: called.append(trial) or real(trial, **options),
    )
    again = learning_curve.run(config, config.context(LocalExecutor(1)))
    assert again.evaluation.failed == [] and len(called) == 9
    (curve,) = [
        each
        for each in curves.learning_curves(again.evaluation.rows, again.steps)
        if each.metric == "accuracy"
    ]
    assert [point.step for point in curve.points] == [*KEPT, LAST]
    assert set(curve.baselines) == {"random", "majority"}
    for point in curve.points:
        name = NAME if point.step == LAST else f"{NAME}@{point.step}"
        values = [
            row["value"]
            for row in again.evaluation.rows
            if (row["run"], row["model"], row["metric"]) == (name, "pretrained", "accuracy")
        ]
        assert (point.low, point.high) == (min(values), max(values))
        assert point.median == pytest.approx(sum(values) / 2)


def test_finished_trials_are_recorded_by_the_next_run_if_the_database_fails(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given["finetune"] |= {"seeds": [0], "baselines": []}
    config = PipelineConfig.model_validate(given)
    database = Path(given["root"], "results.db")
    real = finetuning.run_trial
    called = []

    def loses_the_database(trial: Any, **options: Any) -> Any:
        called.append(trial)
        if len(called) == 3:
            database.unlink()
            database.mkdir()
        return real(trial, **options)

    monkeypatch.setattr(finetuning, "run_trial", loses_the_database)
    monkeypatch.setattr(record, "RETRY_DELAYS_SECONDS", ())
    with pytest.raises(
        ValueError, match=r"results\.db: .*; finished artifacts are kept, run it again"
    ):
        learning_curve.run(config, config.context(LocalExecutor(1)))
    database.rmdir()
    found = learning_curve.run(config, config.context(LocalExecutor(1)))
    assert len(called) == 3
    rows = store.read(config.database_url)
    assert {row["run"] for row in rows if row["task"] == "place"} == runs()
    assert len(rows) == len(found.evaluation.rows)


def test_models_of_another_pretraining_are_not_on_the_curve(given: dict[str, Any]) -> None:
    given["finetune"] |= {"seeds": [0], "baselines": []}
    config = PipelineConfig.model_validate(given)
    found = learning_curve.run(config, config.context(LocalExecutor(1)))
    given["pretrain"]["seed"] = 1
    other = PipelineConfig.model_validate(given)
    build_chain(other)
    again = learning_curve.run(other, other.context(LocalExecutor(1)))
    assert set(found.steps).isdisjoint(again.steps)
    assert report.checkpoints_of(config.root, found.newest) == found.steps
    assert report.checkpoints_of(config.root, again.newest) == again.steps


def test_without_kept_checkpoints_there_is_no_curve(given: dict[str, Any]) -> None:
    shutil.rmtree(Path(given["root"], "checkpoints"))
    config = PipelineConfig.model_validate(given)
    with pytest.raises(ValueError, match=r"no checkpoint was kept; scale\.keep_every_steps"):
        learning_curve.run(config, config.context(LocalExecutor(1)))
