"""The chain's own functions: what is refused before any work, what a report is drawn from."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from electra_pipeline import stages
from electra_pipeline.cli import work
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.results.tables import table
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.workflows import report


def make(root: Path, stage: str, **inputs: str) -> Artifact:
    def write(draft: Draft) -> Written:
        draft.folder.write_bytes("data", stage.encode())
        return Written({}, {})

    return produce(
        root=str(root),
        stage=stage,
        name="test",
        format_version=1,
        config={},
        inputs=inputs,
        write=write,
    )


def test_a_model_is_traced_to_what_it_was_made_from(tmp_path: Path) -> None:
    corpus = make(tmp_path, "corpus", source="abc")
    make(tmp_path, "corpus", source="another")
    tokenizer = make(tmp_path, "tokenizer", corpus=corpus.fingerprint)
    sequences = make(tmp_path, "sequences", corpus=corpus.fingerprint)
    inputs = {"tokenizer": tokenizer.fingerprint, "sequences": sequences.fingerprint}
    pretrained = make(tmp_path, "pretrain", **inputs)
    model = make(
        tmp_path,
        "publish",
        pretrained=pretrained.fingerprint,
        tokenizer=tokenizer.fingerprint,
        corpus=corpus.fingerprint,
    )
    assert report.trace(str(tmp_path), model) == {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "sequences": sequences,
        "pretrain": pretrained,
        "publish": model,
    }


def check(root: str) -> None:
    corpus = {"sources": [{"type": "files", "urls": ["a.txt"]}]}
    values = {"name": "x", "root": root, "corpus": corpus}
    config = PipelineConfig.model_validate(values)
    stages.check(config, LocalExecutor())


def test_a_root_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            ValueError, match=r"cannot be written .*; give another --root"
        ) as caught:
            check(str(root))
        assert str(caught.value).startswith(f"root {root}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("root", ["new/root", "memory://checked/root"])
def test_a_root_that_can_be_written_is_left_as_it_was(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(root)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"results.db"}


def test_a_database_that_is_away_for_a_moment_costs_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, slept = tmp_path / "results.db", []
    file.mkdir()  # no database can be opened there

    def come_back(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            file.rmdir()

    monkeypatch.setattr(stages.time, "sleep", come_back)
    config = PipelineConfig(name="x", root=str(tmp_path), database=f"sqlite:///{file}")
    assert stages.record_results(config, []) == []
    assert slept == list(stages.RECORD_DELAYS_SECONDS[:2])
    file.unlink()
    file.mkdir()
    with pytest.raises(ValueError, match=r"what is finished is kept, run it again to record it"):
        stages.record_results(config, [])
    assert len(slept) == 2 + len(stages.RECORD_DELAYS_SECONDS)


def finished(task: str, num_cut: int = 0) -> SimpleNamespace:
    """A trial of a task whose inputs of 16 tokens lack `num_cut` of 100 characters."""
    counters = {"truncated_train_characters": num_cut, "train_characters": 100}
    return SimpleNamespace(config={"task": task, "max_length": 16}, counters=counters)


def test_a_task_whose_rows_cannot_be_made_loses_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def results(config: Any, trials: Any) -> Any:
        (task,) = {trial.config["task"] for trial in trials}
        if task == "broken":
            raise KeyError("f1")
        return [{"task": task, "of": len(trials)}]

    recorded: list[Any] = []
    monkeypatch.setattr(stages, "reported_rows", results)
    monkeypatch.setattr(stages.store, "record", lambda url, rows: recorded.extend(rows))
    trials = [finished("a", 3), finished("broken"), finished("b", 1), finished("a", 3)]
    config = PipelineConfig.model_validate(
        {"name": "x", "root": str(tmp_path), "finetune": {"tasks": ["cola"]}}
    )
    with pytest.raises(RuntimeError, match=r"no rows of 1 tasks.*broken: KeyError: 'f1'"):
        stages.record_results(config, trials)  # type: ignore[arg-type]
    assert recorded == [{"task": "a", "of": 2}, {"task": "b", "of": 1}]
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == [
        "finetune: a: 3.0% of the characters are beyond the 16 tokens of an input; "
        "raise finetune.max_length"
    ]


def test_the_command_shows_the_rows_there_are_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def record(config: Any, trials: Any) -> Any:
        error = stages.LostRowsError("no rows of 1 tasks: broken", [{"task": "a"}])
        raise pickle.loads(pickle.dumps(error))  # as from another process

    monkeypatch.setattr(stages, "plan_trials", lambda config, model: [])
    monkeypatch.setattr(stages, "run_trials", lambda *given: [])
    monkeypatch.setattr(stages, "gain_from_ray", lambda *given: False)
    monkeypatch.setattr(stages, "record_results", record)
    monkeypatch.setattr(stages, "write_report", lambda config, model, rows: f"report of {rows}")
    monkeypatch.setattr(table, "aggregate", list)
    monkeypatch.setattr(table, "render", lambda rows, layout: f"table of {rows}")
    config = PipelineConfig.model_validate({"name": "x", "finetune": {"tasks": ["cola"]}})
    with pytest.raises(RuntimeError, match=r"^no rows of 1 tasks: broken$"):
        work._finetune(config, "model", [], LocalExecutor(1), lambda update: None)
    assert capsys.readouterr().out == "table of [{'task': 'a'}]\nreport of [{'task': 'a'}]\n"
