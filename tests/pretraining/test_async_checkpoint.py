"""Asynchronous checkpoints: when they are written, which are kept, what a failure leaves."""

import contextlib
import errno
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from electra_pipeline.core.execution import (
    Scale,
)
from electra_pipeline.core.optim import Adam, parameter_groups
from electra_pipeline.pretraining.async_checkpoint import AsyncCheckpointWriter, best_step
from electra_pipeline.pretraining.checkpoint import (
    CheckpointStore,
    ResumePoint,
    check_belongs_to,
    steps_in,
)
from electra_pipeline.storage.artifact import Artifact, Draft, find_artifacts, verify
from electra_pipeline.storage.folder import Folder
from tests.pretraining.runs import CONFIG, Killed, Watched, dies_at


def checkpoint_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.pt"))


def test_only_the_newest_checkpoints_are_kept_and_none_after_the_end(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(executor=dies_at(23), keep_checkpoints=2)
    names = [Path(name).name for name in checkpoint_names(tmp_path)]
    assert names == ["step-000000015.pt", "step-000000020.pt"]
    train()
    assert checkpoint_names(tmp_path) == []


def test_kept_checkpoints_are_beside_the_artifact_and_do_not_change_it(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    plain = train(root="plain")
    with pytest.raises(Killed):
        train(executor=dies_at(22), keep_every_steps=10, keep_best=True)
    artifact = train(keep_every_steps=10, keep_best=True)
    assert artifact.manifest == plain.manifest
    assert verify(artifact) == []
    assert find_artifacts(str(tmp_path / "runs")) == [artifact]
    place = f"checkpoints/{artifact.folder.name}"
    assert checkpoint_names(tmp_path / "runs") == [
        f"{place}/best.pt",
        f"{place}/step-000000010.pt",
        f"{place}/step-000000020.pt",
    ]
    best = torch.load(tmp_path / "runs" / place / "best.pt")
    lines = [line for line in best["history"] if line["split"] == "held_out"]
    assert best["step"] == lines[-1]["step"] == best_step(lines)


def test_a_run_resumes_from_a_kept_checkpoint_that_is_newer(
    train: Callable[..., Artifact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with pytest.raises(Killed):
        train(executor=dies_at(13), keep_every_steps=6)
    train()
    assert "resumed from step 12" in caplog.text


def test_the_best_step_is_the_first_with_the_lowest_held_out_loss() -> None:
    losses = [(0, 1.0), (8, 3.0), (16, 2.0), (24, 2.0)]
    lines = [{"step": step, "split": "held_out", "loss": loss} for step, loss in losses]
    assert best_step(lines) == 16
    assert best_step(lines[:1]) is None


def test_checkpoint_statistics_are_observed(train: Callable[..., Artifact]) -> None:
    observed = train().observed
    assert observed["checkpoints"] == 4  # after 5, 10, 15 and 20 of 24 steps
    model_bytes = 4 * 3 * 20_000  # float32, two moments, more parameters than that
    assert model_bytes < observed["checkpoint_bytes"] < 3 * model_bytes
    assert observed["checkpoint_copy_seconds"] > 0
    assert observed["checkpoint_write_seconds"] > 0


@contextlib.contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_space_for_a_checkpoint_keeps_the_old_one_and_training_continues(
    train: Callable[..., Artifact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel refuses to write more, as it does on a full disk."""
    undisturbed = train(root="undisturbed")
    with contextlib.ExitStack() as limited:

        def at_step(step: float) -> None:
            if step == 7:
                while not list(tmp_path.rglob("step-000000005.pt")):  # written in the background
                    time.sleep(0.01)
                limited.enter_context(largest_file(100_000))
            if step == 18:
                found = [path.name for path in tmp_path.rglob("*.pt")]
                assert found == ["step-000000005.pt"]
                assert list(tmp_path.rglob(".step-*")) == []  # nothing half-written
                limited.close()
            if step == 22:
                raise Killed

        with pytest.raises(Killed):
            train(executor=Watched(at_step))
    warnings = [record.message for record in caplog.records if "no space" in record.message]
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "pretrain: no space for the checkpoint of step 10, which needs 0."
    )
    assert "MB are free; the older ones stay" in warnings[0]
    assert checkpoint_names(tmp_path)[-1].endswith("step-000000020.pt")
    assert train().manifest == undisturbed.manifest


def test_a_storage_error_is_raised_in_one_line_at_the_next_step(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    reached = []
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "checkpoints").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="checkpoint of step 5 cannot be written to") as caught:
        train(executor=Watched(reached.append), keep_every_steps=5)
    assert "\n" not in str(caught.value)
    assert caught.value.errno in (errno.EEXIST, errno.ENOTDIR)
    assert max(reached) <= 10  # the next checkpoint waits for it at the latest


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_sequences": 5}, {"mask_fraction": 0.2}])
def test_a_checkpoint_of_another_run_is_refused(
    train: Callable[..., Artifact], tmp_path: Path, change: dict[str, Any]
) -> None:
    other = CONFIG.model_copy(update=change)
    for config in (CONFIG, other):
        with pytest.raises(Killed):
            train(executor=dies_at(8), config=config, root="other" if config is other else "runs")
    (own,) = (tmp_path / "runs").rglob("*.pt")
    (foreign,) = (tmp_path / "other").rglob("*.pt")
    own.replace(foreign)
    with pytest.raises(
        ValueError, match=r"step-000000005\.pt is a checkpoint of run \w{12}"
    ) as caught:
        train(config=other, root="other")
    assert "\n" not in str(caught.value)


def test_other_formats_are_refused_and_other_files_ignored(tmp_path: Path) -> None:
    for state in ({"model": {}}, {"format": 99, "fingerprint": "abc"}):
        with pytest.raises(ValueError, match=r"place is a checkpoint of run .* \(format 1\)"):
            check_belongs_to("abc", state, "place")
    folder = Folder(str(tmp_path))
    for name in ("step-000000005.pt", "best.pt", "notes.txt"):
        folder.write_bytes(name, b"")
    assert steps_in(folder) == [5]


def test_partial_files_of_a_killed_writer_are_removed(
    train: Callable[..., Artifact], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(executor=dies_at(8))
    (own,) = tmp_path.rglob("*.pt")
    half = own.with_name(".step-000000010.pt.0123abcd.tmp")
    half.write_bytes(b"half")

    def look(step: float) -> None:
        assert not half.exists()

    train(executor=Watched(look))


def test_checkpoints_are_written_in_the_background_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = threading.Event()
    create = Folder.create

    @contextlib.contextmanager
    def slow(folder: Folder, name: str) -> Iterator[IO[bytes]]:
        assert may_write.wait(600)
        with create(folder, name) as file:
            yield file

    monkeypatch.setattr(Folder, "create", slow)
    model: Any = torch.nn.Linear(2, 2)
    optimizer = Adam(parameter_groups(model, 0.0))
    checkpoints = CheckpointStore.of(
        Draft(Folder(str(tmp_path / "test-0")), "0" * 12), str(tmp_path)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with AsyncCheckpointWriter(checkpoints, Scale(), 24, print) as saver:
        saver.save([(checkpoints.newest, "first.pt")], ResumePoint(1, [], 0.0), model, optimizer)
        assert not checkpoints.newest.exists()  # training continues although nothing is written yet
        with torch.no_grad():
            model.weight.add_(1.0)  # the next step
        second = threading.Thread(
            target=saver.save,
            args=([(checkpoints.newest, "second.pt")], ResumePoint(2, [], 0.0), model, optimizer),
        )
        second.start()
        second.join(0.5)
        assert second.is_alive()  # it waits for the first
        may_write.set()
        second.join(600)
    assert checkpoints.newest.files() == ["first.pt", "second.pt"]
    state = torch.load(Path(checkpoints.newest.path) / "first.pt")
    assert all(torch.equal(state["model"][name], value) for name, value in before.items())
