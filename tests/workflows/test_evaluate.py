"""One evaluation: rows and report are written and shown before failures end the command."""

from types import SimpleNamespace
from typing import Any

import pytest

from electra_pipeline.cli import run
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Outcome, Waiting
from electra_pipeline.results import aggregation
from electra_pipeline.results.tables import results_table
from electra_pipeline.workflows import evaluate
from electra_pipeline.workflows.evaluate import Evaluation


def trial(run: str, seed: int) -> Any:
    label = f"cola, pretrained, seed {seed}"
    return SimpleNamespace(run=run, seed=seed, label=label, full_label=f"{run}, {label}")


def test_errors_name_trials_and_tasks_and_the_run_where_there_are_several() -> None:
    artifact: Any = None
    failed = [(trial("a", 1), ValueError("the loss is NaN"))]
    found = Evaluation([(trial("a", 0), artifact)], failed)
    with pytest.raises(
        RuntimeError,
        match=r"^1 of 2 trials failed, the others are recorded: cola, pretrained, seed 1: the loss",
    ):
        found.raise_errors()
    found = Evaluation([(trial("b", 0), artifact)], failed, missing_rows=["cola: KeyError: 'f1'"])
    with pytest.raises(RuntimeError, match=r": a, cola, .*; no rows of 1 tasks, .*: cola: KeyErr"):
        found.raise_errors()
    assert len(found.of_run("a").failed) == 1 and found.of_run("b").failed == []
    Evaluation([(trial("a", 0), artifact)]).raise_errors()


def test_a_skipped_trial_is_counted_apart_and_names_its_parent() -> None:
    parent = trial("a", 0)
    child: Any = SimpleNamespace(
        **{**vars(parent), "label": "rte, pretrained, seed 0"}, parent=parent
    )
    waiting = Waiting(2, {1: 0})
    assert waiting.take() == 0
    failed, skipped = waiting.finish(Outcome(0, error=ValueError(f"{parent.label}: NaN")))
    found = Evaluation(failed=[(parent, failed.error), (child, skipped.error)])
    with pytest.raises(RuntimeError) as caught:
        found.raise_errors()
    assert str(caught.value) == (
        "1 of 2 trials failed and 1 were skipped, the others are recorded: "
        "cola, pretrained, seed 0: NaN; rte, pretrained, seed 0: skipped, because its parent trial "
        "(cola, pretrained, seed 0) did not finish"
    )


def test_the_command_shows_rows_and_report_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "plan_trials", lambda config, model: [trial("x", 0)])
    monkeypatch.setattr(evaluate, "gains_from_ray", lambda *given: False)
    outcomes = [Outcome(0, error=ValueError("no"))]
    monkeypatch.setattr(evaluate, "run_trials", lambda *given: outcomes)
    recorded = [{"task": "a"}], ["broken: KeyError: 'f1'"]
    monkeypatch.setattr(evaluate, "record_trials", lambda config, trials: recorded)
    monkeypatch.setattr(evaluate, "write_report", lambda config, model, rows: f"report of {rows}")
    monkeypatch.setattr(aggregation, "aggregate", list)
    monkeypatch.setattr(results_table, "render_results", lambda rows, layout: f"table of {rows}")
    config = PipelineConfig.model_validate({"name": "x", "finetune": {"tasks": ["cola"]}})
    with pytest.raises(RuntimeError, match=r"^1 of 1 trials failed.*; no rows of 1 tasks.*broken"):
        run._evaluate(config, "model", config.context(), [])
    assert capsys.readouterr().out == "table of [{'task': 'a'}]\nreport of [{'task': 'a'}]\n"
