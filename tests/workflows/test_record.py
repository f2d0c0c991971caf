"""Rows of trials in the results table: retries of the database, tasks without rows."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from electra_pipeline.config import PipelineConfig
from electra_pipeline.workflows import record


def test_an_unreachable_database_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, slept = tmp_path / "results.db", []
    file.mkdir()  # no database can be opened there

    def come_back(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            file.rmdir()

    monkeypatch.setattr(record.time, "sleep", come_back)
    config = PipelineConfig(name="x", root=str(tmp_path), database=f"sqlite:///{file}")
    assert record.record_trials(config, []) == ([], [])
    assert slept == list(record.RETRY_DELAYS_SECONDS[:2])
    file.unlink()
    file.mkdir()
    with pytest.raises(ValueError, match=r"finished artifacts are kept, run it again to record"):
        record.record_trials(config, [])
    assert len(slept) == 2 + len(record.RETRY_DELAYS_SECONDS)


def finished(task: str, num_truncated: int = 0) -> SimpleNamespace:
    """A trial of a task whose inputs of 16 tokens lack `num_truncated` of 100 characters."""
    counters = {"truncated_train_characters": num_truncated, "train_characters": 100}
    return SimpleNamespace(config={"task": task, "max_length": 16}, counters=counters)


def test_a_task_whose_rows_cannot_be_computed_leaves_those_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def results(config: Any, trials: Any) -> Any:
        (task,) = {trial.config["task"] for trial in trials}
        if task == "broken":
            raise KeyError("f1")
        return [{"task": task, "of": len(trials)}]

    recorded: list[Any] = []
    monkeypatch.setattr(record, "reported_rows", results)
    monkeypatch.setattr(record.store, "record", lambda url, rows: recorded.extend(rows))
    trials: Any = [finished("a", 3), finished("broken"), finished("b", 1), finished("a", 3)]
    config = PipelineConfig.model_validate(
        {"name": "x", "root": str(tmp_path), "finetune": {"tasks": ["cola"]}}
    )
    rows, failures = record.record_trials(config, trials)
    assert failures == ["broken: KeyError: 'f1'"]
    assert rows == recorded == [{"task": "a", "of": 2}, {"task": "b", "of": 1}]
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == [
        "finetune: a: 3.0% of the characters are beyond the 16 tokens of an input; "
        "raise finetune.max_length"
    ]
