"""The table of the chain: order, inputs, and versions of the stages."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.stages import STAGES, run_stage, run_until


def test_each_stage_reads_earlier_stages_alone() -> None:
    names = list(STAGES)
    for position, (name, stage) in enumerate(STAGES.items()):
        assert stage.name == name
        assert set(stage.inputs) <= set(names[:position])


@pytest.mark.parametrize("last", STAGES)
def test_the_chain_runs_in_order_and_each_stage_gets_its_inputs(last: Any) -> None:
    config = PipelineConfig(name="x")
    calls: list[str] = []

    def run(name: str, given: Any, context: Any, inputs: Any) -> Any:
        assert given is config and set(inputs) == set(STAGES[name].inputs)  # type: ignore[index]
        calls.append(name)
        return SimpleNamespace(stage=name)

    made = run_until(last, config, config.context(), run)
    assert calls == list(made) == list(STAGES)[: list(STAGES).index(last) + 1]
    assert all(made[name].stage == name for name in made)


def test_a_stage_runs_on_an_executor_that_records_its_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(config: Any, context: Any, inputs: Any) -> Any:
        return context.executor

    stage = stages.Stage("corpus", function, (), 1)
    monkeypatch.setitem(STAGES, "corpus", stage)
    config = PipelineConfig(name="x", root=str(tmp_path))
    meter: Any = run_stage("corpus", config, config.context(executor := LocalExecutor(1)), {})
    assert meter is not executor and meter.executor is executor
