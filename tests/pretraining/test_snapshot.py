"""Snapshots: a kept checkpoint as an artifact, equal to that of a run that ends at its step."""

from pathlib import Path
from typing import Any

import pytest
import torch

from electra_pipeline.core.execution import LocalExecutor, Scale, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.pretraining import loop, snapshot
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.sizes import ModelOverrides
from electra_pipeline.pretraining.snapshot import PretrainingRun
from electra_pipeline.storage.artifact import Artifact, verify

SHAPE = {"embedding_size": 16, "hidden_size": 32, "num_layers": 1, "num_heads": 2}


def config(steps: int, **more: Any) -> PretrainConfig:
    return PretrainConfig(
        size="tiny",
        model=ModelOverrides(**SHAPE, **more),
        steps=steps,
        batch_sequences=4,
        warmup_steps=2,
        schedule="constant",  # the other ones look at the number of steps
        log_every_steps=4,
        evaluate_every_steps=4,
        held_out_sequences=8,
    )


@pytest.fixture
def train(tokenizer: Artifact, sequences: Artifact, tmp_path: Path) -> Any:
    def run(config: PretrainConfig, **scale: Any) -> tuple[PretrainingRun, Artifact]:
        artifact = loop.pretrain(
            config,
            tokenizer,
            sequences,
            StageContext(str(tmp_path), "test", LocalExecutor(1), silent),
            scale=Scale(tensorboard=False, **scale),
        )
        return PretrainingRun(
            config, tokenizer, sequences, StageContext(str(tmp_path), "test")
        ), artifact

    return run


@pytest.mark.parametrize("sharing", ["tied", "gdes"])
def test_a_snapshot_equals_a_run_of_the_same_number_of_steps(train: Any, sharing: str) -> None:
    training, finished = train(config(8, embedding_sharing=sharing), keep_every_steps=4)
    _, short = train(config(4, embedding_sharing=sharing))
    assert training.finished == finished
    assert training.fingerprint == finished.fingerprint
    assert training.steps() == [4]
    found = snapshot.from_checkpoint(training, 4)
    assert verify(found) == []
    assert found.counters == short.counters
    weights = [name for name in short.file_names() if name != "metrics.jsonl"]
    assert len(weights) == 4
    for name in weights:
        assert found.folder.read_bytes(name) == short.folder.read_bytes(name), name
    assert found.inputs["pretrained"] == finished.fingerprint


def test_a_snapshot_remains_after_its_checkpoint_is_removed(train: Any) -> None:
    training, _ = train(config(6), keep_every_steps=2)
    assert training.steps() == [2, 4]
    made = snapshot.from_checkpoint(training, 2)
    training.checkpoints.remove()
    assert training.steps() == [2]
    assert snapshot.from_checkpoint(training, 2).manifest == made.manifest


def test_a_damaged_or_foreign_checkpoint_is_named(train: Any) -> None:
    training, _ = train(config(6), keep_every_steps=2)
    folder = Path(training.checkpoints.path)
    state = torch.load(folder / "step-000000002.pt", weights_only=True)
    torch.save({**state, "fingerprint": "another"}, folder / "step-000000002.pt")
    (folder / "step-000000004.pt").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"step-000000002\.pt is a checkpoint of run another"):
        snapshot.from_checkpoint(training, 2)
    with pytest.raises(
        ValueError, match=r"step-000000004\.pt cannot be read .*; remove it"
    ) as told:
        snapshot.from_checkpoint(training, 4)
    assert "\n" not in str(told.value)
