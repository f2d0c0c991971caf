"""Checkpoints of a run: their content, their files, and how a run resumes from them.

The newest ones are in the draft's work folder, which is removed when the artifact is finished.
Those that are kept for good are beside the artifacts, in
`<root>/checkpoints/<name>-<fingerprint>/`: their number is scale, which must not change the content
of an artifact.
"""

import logging
import pickle
import re
from dataclasses import dataclass
from typing import Any

import torch

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.optim import Adam
from electra_pipeline.pretraining import CHECKPOINTS
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.sharding import gathered
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.storage.folder import Folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
BEST = "best.pt"

TrainingLog = list[dict[str, Any]]
"""Lines of metrics: each has a step, a split ("train" or "held_out") and values by name."""
State = dict[str, Any]
CheckpointFile = tuple[Folder, str]
"""Folder and name of a checkpoint."""


@dataclass(frozen=True)
class ResumePoint:
    """The progress of a run after `step` updates."""

    step: int
    training_log: TrainingLog
    """The metrics of all steps so far."""
    seconds: float
    """Training time so far."""

    @classmethod
    def of(cls, state: "State | None") -> "ResumePoint":
        """Return the progress in the content of a checkpoint; without one, none."""
        if state is None:
            return cls(0, [], 0.0)
        return cls(state["step"], state["history"], state["seconds"])


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoint files of one run."""

    fingerprint: str
    newest: Folder
    """Those that are removed when the artifact is finished."""
    kept: Folder
    """Those that are kept for good, and the best one."""

    @classmethod
    def of(cls, draft: Draft, root: str) -> "CheckpointStore":
        kept = kept_folder(root, draft.folder.name)
        return cls(draft.fingerprint, draft.work / "checkpoints", kept)

    def state(
        self, reached: ResumePoint, model: Electra, optimizer: Adam, *, is_kept: bool = True
    ) -> State:
        """Return the content of a checkpoint, copied to the CPU's memory.

        All workers of a sharded training must call it, and it `is_kept` on one of them: the others
        only send their parts. The content is the same however the model is sharded.

        Weights and optimizer moments are all there is to save besides the step: the data, the masks
        and the samples are functions of (seed, step).
        """
        return {
            "format": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "step": reached.step,
            "history": list(reached.training_log),  # the key in checkpoint files
            "seconds": reached.seconds,
            "model": copied(model.state_dict(keep_vars=True), is_kept=is_kept),
            "optimizer": copied(optimizer.state_dict(), is_kept=is_kept),
        }

    def load(self) -> State | None:
        """Return the newest readable checkpoint in the CPU's memory; None if there is none.

        Raises ValueError if a checkpoint belongs to another configuration or other data.
        """
        for _, folder, name in self._newest_first():
            uri = f"{folder}/{name}"
            try:
                with folder.open(name) as file:
                    state: State = torch.load(file, map_location="cpu", weights_only=True)
            except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
                problem = first_line(error)
                logger.warning("%s cannot be read (%s); trying an older checkpoint", uri, problem)
                continue
            check_belongs_to(self.fingerprint, state, uri)
            logger.info("pretrain: resumed from step %d", state["step"])
            return state
        return None

    def remove_temporary(self) -> None:
        """Remove partial files of killed writers; call it only while nothing is being written."""
        self.newest.remove_temporary()
        self.kept.remove_temporary()

    def remove_from(self, step: int) -> str | None:
        """Remove the checkpoints from a diverged `step` on; return the newest one before it.

        The loss of `step` was computed with the weights of the checkpoint of that number, so that
        one is removed too: a run that resumed from it would diverge again at once.
        """
        for reached, folder, name in self._newest_first():
            if reached < step:
                return f"{folder}/{name}"
            folder.remove(name)
        return None

    def _newest_first(self) -> list[tuple[int, Folder, str]]:
        """Return step, folder and name of each checkpoint of a step."""
        folders = (self.newest, self.kept)
        found = [(step, each, file_name(step)) for each in folders for step in steps_in(each)]
        return sorted(found, key=lambda each: each[0], reverse=True)


def file_name(step: int) -> str:
    """Return the file name of a step's checkpoint; names sort by step."""
    return f"step-{step:09d}.pt"


def steps_in(folder: Folder) -> list[int]:
    """Return the steps of the checkpoints in a folder."""
    found = (re.fullmatch(r"step-(\d+)\.pt", name) for name in folder.files())
    return [int(name[1]) for name in found if name is not None]


def kept_folder(root: str, artifact: str) -> Folder:
    """Return the folder of the checkpoints kept for good; `artifact` is the run's folder name."""
    return Folder(root) / CHECKPOINTS / artifact


def check_belongs_to(fingerprint: str, state: State, uri: str) -> None:
    """Raise ValueError if a checkpoint belongs to another configuration or other data."""
    found, found_format = state.get("fingerprint"), state.get("format")
    if found_format != FORMAT_VERSION or found != fingerprint:
        raise ValueError(
            f"{uri} is a checkpoint of run {found} (format {found_format}), "
            f"but this is run {fingerprint} (format {FORMAT_VERSION}), with other data or another "
            "configuration; move the file away"
        )


def copied(state: Any, *, is_kept: bool = True) -> Any:
    """Copy nested dicts and lists, with all tensors in full and in the CPU's memory.

    A tensor with several names (tied embeddings) is copied once and shared again. Copies from a GPU
    go through pinned memory, which torch's allocator reuses for the next checkpoint. Unless the
    copy `is_kept`, sharded tensors are gathered for the other workers alone.
    """
    copies: dict[int, torch.Tensor | None] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: copy(each) for key, each in value.items()}
        if isinstance(value, list):
            return [copy(each) for each in value]
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in copies:
            whole = gathered(value)
            copies[id(value)] = _to_cpu(whole) if is_kept else None
        return copies[id(value)]

    with torch.no_grad():
        result = copy(state)
    if any(tensor is not None and tensor.is_pinned() for tensor in copies.values()):
        torch.cuda.synchronize()
    return result


def _to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    target = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
    return target.copy_(tensor, non_blocking=True)
