"""The training loop: it learns, resumes exactly, independent of workers and micro-batches."""

import math
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed as dist

from electra_pipeline.core.execution import (
    LocalExecutor,
    Scale,
    TrainFunction,
    Worker,
)
from electra_pipeline.core.progress import Progress
from electra_pipeline.pretraining import loop
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.sizes import ModelOverrides
from electra_pipeline.storage.artifact import Artifact
from tests.pretraining.runs import CONFIG, Killed, dies_at, training_log

DROPOUT = CONFIG.model_copy(update={"model": CONFIG.model.model_copy(update={"dropout": 0.1})})


def weights(artifact: Artifact, kind: str = "discriminator") -> dict[str, torch.Tensor]:
    return load_file(artifact.local_file(f"{kind}/model.safetensors"))


def test_the_loss_falls_and_is_in_the_manifest(train: Callable[..., Artifact]) -> None:
    artifact = train()
    lines = training_log(artifact)
    held_out = [line for line in lines if line["split"] == "held_out"]
    assert [line["step"] for line in held_out] == [0, 8, 16, 24]
    assert [line["step"] for line in lines if line["split"] == "train"] == [4, 8, 12, 16, 20, 24]
    assert held_out[-1]["loss"] < 0.8 * held_out[0]["loss"]  # 0.57 to 0.61 with seeds 0 to 7
    assert artifact.counters["held_out"]["loss"] == held_out[-1]["loss"]
    assert artifact.counters["steps"] == 24
    assert artifact.counters["sequences_seen"] == 144
    assert not any(name.startswith("work/") for name in artifact.file_names())
    assert not (artifact.folder / "work").exists()


def test_train_lines_contain_the_learning_rate(train: Callable[..., Artifact]) -> None:
    lines = [line for line in training_log(train()) if line["split"] == "train"]
    # the line of `step` tells of the update before it, counted from 0
    assert lines[0]["learning_rate"] == pytest.approx(2e-3 * (1 - 3 / 24) * 3 / 4)
    assert lines[-1]["learning_rate"] == pytest.approx(2e-3 * (1 - 23 / 24))


@pytest.mark.parametrize("config", [CONFIG, DROPOUT], ids=["plain", "dropout"])
@pytest.mark.parametrize("killed_at", [3, 12, 24])
def test_killed_and_resumed_gives_equal_manifest(
    train: Callable[..., Artifact], config: PretrainConfig, killed_at: int
) -> None:
    undisturbed = train(config, "undisturbed")
    with pytest.raises(Killed):
        train(config, "killed", dies_at(killed_at))
    resumed = train(config, "killed")
    assert resumed.observed["resumed"] == (killed_at > 5)  # the first checkpoint
    assert resumed.manifest == undisturbed.manifest


def test_an_unreadable_checkpoint_falls_back_to_an_older_one(
    train: Callable[..., Artifact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = train(CONFIG, "undisturbed")
    with pytest.raises(Killed):
        train(CONFIG, "killed", dies_at(23))
    newest = max(tmp_path.rglob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    assert train(CONFIG, "killed").manifest == undisturbed.manifest
    assert "cannot be read" in caplog.text


def test_micro_batches_give_the_same_gradients(train: Callable[..., Artifact]) -> None:
    whole, parts = train(root="whole"), train(root="parts", micro_batch_sequences=4)
    assert whole.fingerprint == parts.fingerprint
    for name, weight in weights(whole).items():
        assert torch.allclose(weight, weights(parts)[name], atol=2e-5), name


# The first update has rate 0, the second throws the weights out of range.
DIVERGING = CONFIG.model_copy(update={"learning_rate": 1e30, "warmup_steps": 20})


def test_a_loss_that_is_not_finite_stops_the_run(train: Callable[..., Artifact]) -> None:
    message = r"not finite at step 2; .*step-000000001\.pt; .*pretrain\.learning_rate 1e\+30"
    with pytest.raises(ValueError, match=message):
        train(DIVERGING, checkpoint_every_steps=1, keep_checkpoints=9)


def test_divergence_names_the_last_good_checkpoint_and_removes_later_ones(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    for _ in range(2):  # the second resumes, and diverges at the same step
        with pytest.raises(ValueError) as caught:
            train(DIVERGING, checkpoint_every_steps=1, keep_checkpoints=9)
        (left,) = tmp_path.rglob("*.pt")
        assert f"not finite at step 2; the last good checkpoint is {left};" in str(caught.value)
        state = torch.load(left)
        assert state["step"] == 1
        assert all(weight.isfinite().all() for weight in state["model"].values())


def test_divergence_without_a_checkpoint(train: Callable[..., Artifact]) -> None:
    with pytest.raises(ValueError, match="the last good checkpoint is none;"):
        train(DIVERGING)


def test_other_seed_other_weights(train: Callable[..., Artifact]) -> None:
    first, second = train(), train(CONFIG.model_copy(update={"seed": 1}))
    assert first.fingerprint != second.fingerprint
    name = "electra.embeddings.word_embeddings.weight"
    assert not torch.equal(weights(first)[name], weights(second)[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sequences": 1}, "batch_sequences is 1, less than scale.workers 2"),
        ({"model": ModelOverrides(max_positions=16)}, "sequences.length is 32, but the model has"),
        ({"mask_fraction": 0.01}, "masks nothing"),
    ],
)
def test_an_invalid_configuration_is_refused_before_work(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loop.check(CONFIG.model_copy(update=change), 32, Scale(workers=2))


def run_rank(
    rank: int, world_size: int, store: str, function: TrainFunction, errors: "SimpleQueue[str]"
) -> None:
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=world_size)
    try:
        function(Worker(rank=rank, world_size=world_size, num_threads=1))
    except ValueError as error:
        errors.put(str(error))
    dist.destroy_process_group()


class Processes(LocalExecutor):
    """Real gloo processes, without Ray."""

    def check(self, scale: Scale, root: str) -> None: ...

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        context = multiprocessing.get_context("spawn")
        errors = context.SimpleQueue()
        with tempfile.TemporaryDirectory() as folder:  # they meet in a file: no port to be taken
            run = partial(
                run_rank,
                world_size=scale.workers,
                store=f"{folder}/store",
                function=function,
                errors=errors,
            )
            processes = [context.Process(target=run, args=(rank,)) for rank in range(scale.workers)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
                assert process.exitcode == 0
        raised = [errors.get() for _ in range(scale.workers) if not errors.empty()]
        if raised:
            assert len(raised) == scale.workers
            (message,) = set(raised)  # all stop at once, and say the same
            raise ValueError(message)


def assert_close(one: Artifact, other: Artifact) -> None:
    """Equal but for the order in which floating-point numbers were added up."""
    assert one.fingerprint == other.fingerprint
    for kind in ("discriminator", "generator"):
        for name, weight in weights(one, kind).items():
            assert torch.allclose(weight, weights(other, kind)[name], atol=2e-5), name
    for seen, again in zip(training_log(one), training_log(other), strict=True):
        assert seen.keys() == again.keys()
        for key, value in seen.items():
            if isinstance(value, float):
                assert math.isclose(value, again[key], rel_tol=2e-3, abs_tol=2e-3), key


# With dropout, five sequences on two ranks: unequal shares of masks and padding.
UNEQUAL = DROPOUT.model_copy(update={"batch_sequences": 5, "steps": 8})


@pytest.mark.integration
def test_two_ranks_with_unequal_shares_equal_one(train: Callable[..., Artifact]) -> None:
    assert_close(train(UNEQUAL, "alone"), train(UNEQUAL, "together", Processes(), workers=2))


@pytest.mark.integration
def test_a_run_resumes_with_another_number_of_workers(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(UNEQUAL, "killed", dies_at(7))
    assert [path.name for path in tmp_path.rglob("*.pt")] == ["step-000000005.pt"]
    resumed = train(UNEQUAL, "killed", Processes(), workers=2)
    alone = train(UNEQUAL, "alone")
    assert alone.observed["checkpoints"] == 1
    assert "checkpoints" not in resumed.observed  # it did not pass step 5 again
    assert_close(alone, resumed)


@pytest.mark.integration
def test_two_ranks_stop_at_the_same_step_and_name_the_same_checkpoint(
    train: Callable[..., Artifact],
) -> None:
    with pytest.raises(ValueError, match=r"not finite at step 2; .*step-000000001\.pt;"):
        train(DIVERGING, executor=Processes(), workers=2, checkpoint_every_steps=1)
