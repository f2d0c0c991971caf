"""Writes checkpoints while the training goes on: which ones, and what becomes of them."""

import errno
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from electra_pipeline.core.execution import Scale
from electra_pipeline.core.optim import Adam
from electra_pipeline.pretraining.checkpoint import (
    BEST,
    CheckpointStore,
    Place,
    ResumePoint,
    State,
    TrainingLog,
    file_name,
)
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.storage.folder import NO_SPACE_ERRNOS, Folder

logger = logging.getLogger(__name__)

# A full disk, a full quota, and a file larger than allowed.


@dataclass(frozen=True)
class _Written:
    """What became of a checkpoint: its cost, or why there was no room for it."""

    bytes: int = 0
    seconds: float = 0.0
    warning: str = ""


class AsyncCheckpointWriter:
    """Copies the state, and lets one background thread write it.

    Used as a context, whose end waits for the last one. `warn` is called, in the thread of the
    caller, with what the user must know and the training survives: a full disk.
    """

    def __init__(
        self,
        checkpoints: CheckpointStore,
        scale: Scale,
        num_steps: int,
        warn: Callable[[str], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._scale = scale
        self._num_steps = num_steps
        self._warn = warn
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[_Written] | None = None
        self._copy_seconds: list[float] = []
        self._written: list[_Written] = []

    def __enter__(self) -> "AsyncCheckpointWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self.collect(wait=True)
        except OSError as lost:
            if kind is None:
                raise
            logger.warning("%s", lost)  # the error that ends the run is the one to raise
        finally:
            self._pool.shutdown()

    def places(self, step: int, history: TrainingLog) -> list[Place]:
        """Where the checkpoint of `step` belongs; nowhere if none is due.

        The last step has none, since its weights are the artifact; but the best may be its.
        """
        kept, scale = self._checkpoints.kept, self._scale
        places = []
        is_evaluated = bool(history) and history[-1]["step"] == step
        if scale.keep_best and is_evaluated and step == best_step(history):
            places.append((kept, BEST))
        if step < self._num_steps:
            if scale.keep_every_steps and step % scale.keep_every_steps == 0:
                places.append((kept, file_name(step)))
            elif step % scale.checkpoint_every_steps == 0:
                places.append((self._checkpoints.newest, file_name(step)))
        return places

    def save(
        self, places: list[Place], position: ResumePoint, model: Electra, optimizer: Adam
    ) -> None:
        """Copy the state to memory and begin to write it, once the one before is written."""
        started = time.monotonic()
        self.collect(wait=True)
        state = self._checkpoints.state(position, model, optimizer)
        self._copy_seconds.append(time.monotonic() - started)
        self._pending = self._pool.submit(self._write, places, state)

    def collect(self, *, wait: bool = False) -> None:
        """Take note of a checkpoint that has been written, or that could not be.

        Raises OSError, in one line, if storage refused it for another reason than its size.
        """
        if self._pending is None or not (wait or self._pending.done()):
            return
        pending, self._pending = self._pending, None
        written = pending.result()
        if written.warning:
            self._warn(written.warning)
        else:
            self._written.append(written)

    def last_good(self, step: int) -> str | None:
        """The newest checkpoint before a `step` that diverged; later ones are removed."""
        self.collect(wait=True)
        return self._checkpoints.discard_from(step)

    def costs(self) -> dict[str, float]:
        """Number, size and mean times of the checkpoints of this process; empty without any.

        checkpoint_copy_seconds: how long a step waited; checkpoint_write_seconds: how long the
        thread was busy beside the next ones.
        """
        self.collect(wait=True)
        if not self._written:
            return {}
        number = len(self._written)
        return {
            "checkpoints": number,
            "checkpoint_bytes": self._written[-1].bytes,
            "checkpoint_copy_seconds": round(sum(self._copy_seconds) / len(self._copy_seconds), 4),
            "checkpoint_write_seconds": round(sum(w.seconds for w in self._written) / number, 4),
        }

    def _write(self, places: list[Place], state: State) -> _Written:
        """Write a checkpoint that appears whole or not at all, then drop the oldest ones."""
        started = time.monotonic()
        num_bytes = 0
        for folder, name in places:
            try:
                with folder.create(name) as file:
                    torch.save(state, file)
            except Exception as error:  # torch hides the disk's error behind one of its own
                reason = _os_error(error)
                if reason is not None and reason.errno in NO_SPACE_ERRNOS:
                    return _Written(warning=_no_space(state, folder))
                raise OSError(
                    reason.errno if reason is not None else errno.EIO,
                    f"pretrain: the checkpoint of step {state['step']} cannot be written to "
                    f"{folder}: {reason or error}; see that the folder can be written to",
                ) from error
            num_bytes = folder.size(name)
        newest = self._checkpoints.newest
        for name in newest.files()[: -self._scale.keep_checkpoints]:
            newest.remove(name)
        return _Written(num_bytes, time.monotonic() - started)


def best_step(history: TrainingLog) -> int | None:
    """The step with the lowest held-out loss after training began; the first of equals."""
    held_out = [line for line in history if line["split"] == "held_out" and line["step"] > 0]
    return min(held_out, key=lambda line: line["loss"])["step"] if held_out else None


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's error behind an exception."""
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
    return f"{line}; the older ones stay, the training goes on and will try again"


def _tensors(value: Any) -> dict[int, torch.Tensor]:
    """All tensors of nested dicts and lists, a shared one once."""
    if isinstance(value, torch.Tensor):
        return {id(value): value}
    found: dict[int, torch.Tensor] = {}
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            found |= _tensors(each)
    return found
