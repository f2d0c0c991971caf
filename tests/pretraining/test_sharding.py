"""Sharded training (FSDP2, here on gloo): the same run, the same checkpoints, the same model."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.storage.artifact import Artifact
from tests.pretraining.test_loop import DIVERGING, UNEQUAL, Processes, assert_close

pytestmark = pytest.mark.integration

GDES = UNEQUAL.model_copy(
    update={"model": UNEQUAL.model.model_copy(update={"embedding_sharing": "gdes"})}
)
ALONE: dict[str, Any] = {"workers": 1}
WHOLE: dict[str, Any] = {"workers": 3}
SHARDED: dict[str, Any] = {"workers": 2, "sharding": "full"}


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        # rank 0 has three micro-batches, rank 1 has two and one without tokens
        (UNEQUAL, {"micro_batch_sequences": 1, "gradient_checkpointing": True}),
        (GDES, {}),
    ],
    ids=["tied", "gdes"],
)
def test_two_ranks_with_parts_of_the_model_equal_one(
    train: Callable[..., Artifact], config: PretrainConfig, scale: dict[str, Any]
) -> None:
    together = train(config, "together", Processes(), **SHARDED, **scale)
    assert together.observed["checkpoints"] == 1
    assert_close(train(config, "alone"), together)


@pytest.mark.parametrize(
    ("before", "after"),
    [(ALONE, SHARDED), (SHARDED, WHOLE)],
    ids=["shard", "join"],
)
def test_a_run_resumes_with_other_sharding(
    train: Callable[..., Artifact], tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    def run(root: str, **scale: Any) -> Artifact:
        executor = Processes() if scale["workers"] > 1 else None
        return train(UNEQUAL, root, executor, keep_every_steps=5, **scale)

    first = run("runs", **before)
    shutil.rmtree(tmp_path / "runs/pretrain")  # as if it had ended after step 5
    resumed = run("runs", **after)
    assert "checkpoints" not in resumed.observed  # it did not pass step 5 again
    assert_close(first, resumed)
    alone = run("alone", **ALONE)
    assert_close(alone, resumed)
    path = f"checkpoints/{alone.folder.name}/step-000000005.pt"
    expected, found = tmp_path / "alone" / path, tmp_path / "runs" / path
    assert expected.stat().st_size == found.stat().st_size
    assert list(shape(torch.load(expected))) == list(shape(torch.load(found)))


def shape(state: Any, path: str = "", seen: dict[int, str] | None = None) -> Iterator[Any]:
    """Yield all keys of a checkpoint, and type and first name of each tensor's memory."""
    seen = {} if seen is None else seen
    if isinstance(state, torch.Tensor):
        name = seen.setdefault(state.untyped_storage().data_ptr(), path)
        yield path, type(state), state.dtype, state.shape, state.stride(), name
    elif isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from shape(value, f"{path}/{key}", seen)
    else:
        yield path, type(state)


def test_sharded_ranks_stop_at_the_same_step(train: Callable[..., Artifact]) -> None:
    with pytest.raises(ValueError, match=r"not finite at step 2; .*step-000000001\.pt;"):
        train(DIVERGING, executor=Processes(), **SHARDED, checkpoint_every_steps=1)
