"""The chain as a flow, over a real Prefect and Ray: two workers pre-train, four trials fan out."""

import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from electra_pipeline.config import PipelineConfig
from electra_pipeline.results import store
from electra_pipeline.storage.artifact import find_artifacts, verify


@pytest.fixture(scope="module")
def servers(ray_cluster, prefect_server):
    """Ray and Prefect, once for all flows of this file."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One root for all flows of this file, which reuse its artifacts."""
    return str(tmp_path_factory.mktemp("electra") / "runs")


def manifests(root: str) -> dict[str, bytes]:
    return {
        f"{artifact.stage}/{artifact.folder.name}": artifact.folder.read_bytes("manifest.json")
        for artifact in find_artifacts(root)
    }


def costs_over_ray(config):
    """Costs without the stages on the driver, for which a slow lookup of artifacts counts."""
    rows = store.read_costs(config.database_url)
    return [row for row in rows if row["stage"] not in ("tokenizer", "publish")]


def seen_in_prefect(*expected):
    """Artifacts of the first run, and whether it has logged such lines.

    Lines are sent from time to time, so some may come after the end of the run.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.name.startswith("chain-")]
        first = min(runs, key=lambda run: run.created)
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[first.id]))
        deadline = time.monotonic() + 120
        while True:
            messages = [log.message for log in client.read_logs(of_run)]
            found = [any(line in message for message in messages) for line in expected]
            if all(found) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        artifacts = client.read_artifacts()
    return [artifact for artifact in artifacts if artifact.flow_run_id == first.id], found


def test_the_chain_runs_and_a_second_run_does_nothing(servers, tiny, root):
    from flows.electra import electra

    config = PipelineConfig.model_validate(tiny | {"name": "chain", "root": root})
    summary = electra(config)
    made = manifests(config.root)
    stages = [name.split("/")[0] for name in made]
    assert sorted(set(stages)) == [
        "corpus", "finetune", "pretrain", "publish", "sequences", "tokenizer",
    ]  # fmt: skip
    assert stages.count("finetune") == 4
    assert not [line for artifact in find_artifacts(config.root) for line in verify(artifact)]
    assert Path(summary.report).read_text().lower().startswith("<!doctype html>")
    with create_engine(config.database_url).connect() as database:
        recorded = database.execute(text("SELECT COUNT(*) FROM results")).scalar()
    assert recorded == len(summary.rows) > 0
    assert {(row["task"], row["seed"]) for row in summary.rows} == {
        ("place", 0), ("place", 1), ("numbers", 0), ("numbers", 1), ("pretraining", 0),
    }  # fmt: skip

    # The last line is one that a trial logs in a worker of Ray.
    artifacts, found = seen_in_prefect(
        "20/20 steps (100%)",
        "pretrain: finished in",
        "finetune: finished in",
        "finetune chain, place, pretrained, seed 1 ",
    )
    assert {artifact.key for artifact in artifacts if artifact.key} == {
        "model-chain", "results-chain", "costs-chain", "report-chain",
    }  # fmt: skip
    assert len([artifact for artifact in artifacts if artifact.type == "progress"]) >= 4
    assert found == [True, True, True, True]
    costs = costs_over_ray(config)
    assert {row["stage"] for row in costs} == {"corpus", "sequences", "pretrain", "finetune"}
    assert all(row["cpu_seconds"] > 0 for row in costs)

    again = electra(config)
    assert costs_over_ray(config) == costs
    assert manifests(config.root) == made
    assert (again.model, again.report) == (summary.model, summary.report)

    def place(row):
        return row["task"], row["seed"], row["split"], row["metric"]

    assert sorted(again.rows, key=place) == sorted(summary.rows, key=place)


def test_a_failed_trial_leaves_the_others_and_fails_the_run_at_the_end(
    servers, tiny, root, tmp_path, monkeypatch
):
    from electra_pipeline.workflows import evaluate
    from flows.electra import electra

    vanishing = tmp_path / "vanishing.conll"
    vanishing.write_bytes(Path(tiny["finetune"]["tasks"][1]["train"]).read_bytes())
    plan_trials = evaluate.plan_trials

    def plan_and_remove_the_file(*arguments):
        trials = plan_trials(*arguments)
        vanishing.unlink()
        return trials

    monkeypatch.setattr(evaluate, "plan_trials", plan_and_remove_the_file)

    tiny |= {"name": "chain", "root": root, "database": f"sqlite:///{tmp_path}/results.db"}
    tiny["finetune"]["seeds"] = [0]
    tiny["finetune"]["tasks"][1] |= {"name": "vanishing", "train": str(vanishing)}
    config = PipelineConfig.model_validate(tiny)
    with pytest.raises(
        RuntimeError, match=r"^1 of 2 trials failed, the others are recorded: vanish"
    ):
        electra(config)
    with create_engine(config.database_url).connect() as database:
        tasks = database.execute(text("SELECT DISTINCT task FROM results")).scalars().all()
    assert sorted(tasks) == ["place", "pretraining"]
