"""Asynchronous checkpoints: written by a background thread while training continues."""

import errno
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from electra_pipeline.core.execution import Scale
from electra_pipeline.core.optim import Adam
from electra_pipeline.pretraining.checkpoint import (
    BEST,
    CheckpointFile,
    CheckpointStore,
    ResumePoint,
    State,
    TrainingLog,
    file_name,
)
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.storage.folder import NO_SPACE_ERRNOS, Folder

logger = logging.getLogger(__name__)


class AsyncCheckpointWriter:
    """Copies the state of the training, and lets one background thread of rank 0 write it.

    A context manager, which waits for the last checkpoint at its end. `warn` is called in the
    thread of the caller if a checkpoint was not written because the disk is full; training
    continues.
    """

    def __init__(
        self,
        checkpoints: CheckpointStore,
        scale: Scale,
        num_steps: int,
        warn: Callable[[str], None],
        rank: int = 0,
    ) -> None:
        self._checkpoints = checkpoints
        self._scale = scale
        self._num_steps = num_steps
        self._warn = warn
        self._rank = rank
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[tuple[int, float]] | None = None
        self._copy_seconds: list[float] = []
        self._written: list[tuple[int, float]] = []  # bytes and seconds of each checkpoint

    def __enter__(self) -> "AsyncCheckpointWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self.collect(wait=True)
        except OSError as failure:
            if kind is None:
                raise
            logger.warning("%s", failure)  # the error that ends the run is the one to raise
        finally:
            self._pool.shutdown()

    def files_due(self, step: int, training_log: TrainingLog) -> list[CheckpointFile]:
        """Return the files to which the state after `step` is to be saved, often none.

        The last step has none, since its weights are the artifact, except for the best one.
        """
        kept, scale = self._checkpoints.kept, self._scale
        files = []
        is_evaluated = bool(training_log) and training_log[-1]["step"] == step
        if scale.keep_best and is_evaluated and step == best_step(training_log):
            files.append((kept, BEST))
        if step < self._num_steps:
            if scale.keep_every_steps and step % scale.keep_every_steps == 0:
                files.append((kept, file_name(step)))
            elif step % scale.checkpoint_every_steps == 0:
                files.append((self._checkpoints.newest, file_name(step)))
        return files

    def save(
        self, files: list[CheckpointFile], reached: ResumePoint, model: Electra, optimizer: Adam
    ) -> None:
        """Wait for the previous checkpoint, copy the state to memory and start to write it.

        Every worker calls it, because each sends its part of a sharded model to rank 0.
        """
        started = time.monotonic()
        self.collect(wait=True)
        is_kept = self._rank == 0
        state = self._checkpoints.state(reached, model, optimizer, is_kept=is_kept)
        if not is_kept:
            return
        self._copy_seconds.append(time.monotonic() - started)
        self._pending = self._pool.submit(self._write, files, state)

    def collect(self, *, wait: bool = False) -> None:
        """Record the result of the pending checkpoint, if it is written or `wait` is true.

        Raises OSError, in one line, if it could not be written for a reason other than space.
        """
        if self._pending is None or not (wait or self._pending.done()):
            return
        pending, self._pending = self._pending, None
        try:
            self._written.append(pending.result())
        except OSError as error:
            if error.errno not in NO_SPACE_ERRNOS:
                raise
            self._warn(str(error.strerror))

    def last_good(self, step: int) -> str | None:
        """Return the newest checkpoint before a diverged `step`; remove the later ones."""
        self.collect(wait=True)
        return self._checkpoints.remove_from(step)

    def statistics(self) -> dict[str, float]:
        """Return number, size and mean times of this process's checkpoints; empty without any.

        checkpoint_copy_seconds: time that the step waited; checkpoint_write_seconds: time that the
        background thread took.
        """
        self.collect(wait=True)
        if not self._written:
            return {}
        number = len(self._written)
        return {
            "checkpoints": number,
            "checkpoint_bytes": self._written[-1][0],
            "checkpoint_copy_seconds": round(sum(self._copy_seconds) / len(self._copy_seconds), 4),
            "checkpoint_write_seconds": round(sum(s for _, s in self._written) / number, 4),
        }

    def _write(self, files: list[CheckpointFile], state: State) -> tuple[int, float]:
        """Write a checkpoint, whole or not at all, and remove the oldest ones.

        Returns its size in bytes and the time in seconds. Raises OSError with the disk's errno.
        """
        started = time.monotonic()
        num_bytes = 0
        for folder, name in files:
            try:
                with folder.create(name) as file:
                    torch.save(state, file)
            except Exception as error:  # torch hides the disk's error behind one of its own
                reason = _os_error(error)
                code = errno.EIO if reason is None else reason.errno
                problem = (
                    _no_space(state, folder)
                    if code in NO_SPACE_ERRNOS
                    else f"pretrain: the checkpoint of step {state['step']} cannot be written to "
                    f"{folder}: {reason or error}; make the folder writable"
                )
                raise OSError(code, problem) from error
            num_bytes = folder.size(name)
        newest = self._checkpoints.newest
        for name in newest.files()[: -self._scale.keep_checkpoints]:
            newest.remove(name)
        return num_bytes, time.monotonic() - started


def best_step(training_log: TrainingLog) -> int | None:
    """Return the first step with the lowest held-out loss; the untrained model does not count."""
    held_out = [line for line in training_log if line["split"] == "held_out" and line["step"] > 0]
    return min(held_out, key=lambda line: line["loss"])["step"] if held_out else None


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the operating system's error that caused an exception, if any."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _no_space(state: State, folder: Folder) -> str:
    needed = sum(tensor.nbytes for tensor in _tensors(state).values())
    line = (
        f"no space for the checkpoint of step {state['step']}, which needs {needed / 1e6:,.1f} MB "
        f"in {folder}"
    )
    if folder.is_local:
        line += f", where {shutil.disk_usage(folder.path).free / 1e6:,.1f} MB are free"
    return f"{line}; the older ones stay, training continues and tries again at the next one"


def _tensors(value: Any) -> dict[int, torch.Tensor]:
    """Return all tensors of nested dicts and lists by identity, a shared one once."""
    if isinstance(value, torch.Tensor):
        return {id(value): value}
    found: dict[int, torch.Tensor] = {}
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            found |= _tensors(each)
    return found
