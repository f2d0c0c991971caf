"""Held-out metrics of a pre-training as rows of the results table."""

import pytest

from electra_pipeline.config import PipelineConfig
from electra_pipeline.results import pretraining, store
from electra_pipeline.results.store import RESULTS
from electra_pipeline.storage.artifact import Written, produce


def artifact(root, stage, config, counters, observed):
    return produce(
        root=str(root),
        stage=stage,
        name="es-small",
        format_version=1,
        config=config,
        inputs={},
        write=lambda draft: Written(counters, observed),
    )


def test_each_metric_is_a_row_that_can_be_traced(tmp_path):
    held_out = {"generator_loss": 6.1, "discriminator_auc": 0.58}
    pretrained = artifact(
        tmp_path, "pretrain", {"seed": 3, "held_out_sequences": 512},
        {"held_out": held_out}, {"training_seconds": 12.5},
    )  # fmt: skip
    model = artifact(tmp_path, "publish", {}, {}, {})
    sequences = artifact(tmp_path, "sequences", {}, {"held_out": {"sequences": 80}}, {})
    rows = pretraining.rows("es-small", pretrained, model, sequences)
    assert {row["metric"]: row["value"] for row in rows} == held_out
    for row in rows:
        assert set(row) == {column.name for column in RESULTS.columns if not column.nullable}
        assert (row["run"], row["model"], row["task"], row["split"], row["seed"]) == (
            "es-small", "pretrained", "pretraining", "held_out", 3,
        )  # fmt: skip
        assert (row["fingerprint"], row["trial"]) == (model.fingerprint, pretrained.fingerprint)
        assert (row["examples"], row["seconds"]) == (80, 12.5)  # fewer than it would have read
    store.record(f"sqlite:///{tmp_path}/results.db", rows)


def test_nothing_held_out_is_no_row(tmp_path):
    pretrained = artifact(
        tmp_path, "pretrain", {"seed": 0, "held_out_sequences": 8}, {"held_out": {}},
        {"training_seconds": 1.0},
    )  # fmt: skip
    assert pretraining.rows("x", pretrained, pretrained, pretrained) == []


def test_no_task_of_a_user_has_its_name():
    task = {"name": "pretraining", "type": "classification", "train": "a.tsv"}
    corpus = {"sources": [{"type": "files", "urls": ["a.txt"]}]}
    with pytest.raises(ValueError, match="invalid task name 'pretraining'"):
        PipelineConfig.model_validate(
            {"name": "x", "corpus": corpus, "finetune": {"tasks": [task]}}
        )
