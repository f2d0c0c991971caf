"""Checkpoints of a run: everything that the next step depends on, and where it lies.

The newest lie in the draft's work folder, which goes when the artifact is finished. Those that are
kept for ever lie beside the artifacts, in `<root>/checkpoints/<name>-<fingerprint>/`: how many
there are is scale, which must not change what an artifact holds.
"""

import logging
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.optim import Adam
from electra_pipeline.pretraining.folders import CHECKPOINTS
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.storage.folder import Folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
BEST = "best.pt"

History = list[dict[str, Any]]
State = dict[str, Any]
Place = tuple[Folder, str]


@dataclass(frozen=True)
class Position:
    """Where a run stands: `step` updates are done; `history` holds the metrics up to there."""

    step: int
    history: History
    seconds: float


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run: where they lie, and how to go on from them."""

    fingerprint: str
    newest: Folder
    """Those that go when the artifact is finished."""
    kept: Folder
    """Those that stay, and the best one."""

    @classmethod
    def of(cls, draft: Draft, root: str) -> "Checkpoints":
        kept = kept_folder(root, draft.folder.name)
        return cls(draft.fingerprint, draft.work / "checkpoints", kept)

    def state(self, position: Position, model: Electra, optimizer: Adam) -> State:
        """What a checkpoint holds, copied to the CPU's memory.

        Weights and optimizer moments are all there is to save besides the step: the data, the masks
        and the samples are functions of (seed, step).
        """
        return {
            "format": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "step": position.step,
            "history": list(position.history),
            "seconds": position.seconds,
            **_copied({"model": model.state_dict(), "optimizer": optimizer.state_dict()}),
        }

    def restore(self, model: Electra, optimizer: Adam, device: torch.device) -> Position:
        """Load the newest readable checkpoint into model and optimizer; step 0 if there is none.

        Raises ValueError if a checkpoint belongs to another configuration or other data.
        """
        for _, (folder, name) in self._found():
            try:
                with folder.open(name) as file:
                    state = torch.load(file, map_location=device, weights_only=True)
            except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
                problem = first_line(error)
                logger.warning(
                    "%s/%s cannot be read (%s); trying an older one", folder, name, problem
                )
                continue
            refuse_foreign(state, self.fingerprint, f"{folder}/{name}")
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            logger.info("pretrain: resuming at step %d", state["step"])
            return Position(state["step"], state["history"], state["seconds"])
        return Position(0, [], 0.0)

    def sweep(self) -> None:
        """Remove what a killed writer left half-written; only while nobody writes."""
        self.newest.remove_temporary()
        self.kept.remove_temporary()

    def discard_from(self, step: int) -> str | None:
        """Remove those that a diverged `step` makes suspect; the last good one's place, if any.

        The step's loss was computed with the weights of the checkpoint of the same number, so that
        one is among them: a run that went on from it would stop again at once.
        """
        for reached, (folder, name) in self._found():
            if reached < step:
                return f"{folder}/{name}"
            folder.remove(name)
        return None

    def _found(self) -> Iterator[tuple[int, Place]]:
        """Step and place of each checkpoint of a step, newest first."""
        found = [
            (step, (folder, file_name(step)))
            for folder in (self.newest, self.kept)
            for step in steps_in(folder)
        ]
        yield from sorted(found, key=lambda each: each[0], reverse=True)


def file_name(step: int) -> str:
    """Names sort as their steps do."""
    return f"step-{step:09d}.pt"


def steps_in(folder: Folder) -> list[int]:
    """The steps of which a folder has checkpoints."""
    found = (re.fullmatch(r"step-(\d+)\.pt", name) for name in folder.files())
    return [int(name[1]) for name in found if name is not None]


def kept_folder(root: str, artifact: str) -> Folder:
    """Where the checkpoints stay that are kept for ever; `artifact` is the run's folder name."""
    return Folder(root) / CHECKPOINTS / artifact


def refuse_foreign(state: State, fingerprint: str, place: str) -> None:
    """Raise ValueError if a checkpoint belongs to another configuration or other data."""
    made_by, made = state.get("fingerprint"), state.get("format")
    if made != FORMAT_VERSION or made_by != fingerprint:
        raise ValueError(
            f"{place} is a checkpoint of run {made_by} (format {made}), "
            f"and this is run {fingerprint} (format {FORMAT_VERSION}), of other data or "
            "configuration; move the file away"
        )


def _copied(state: Any) -> Any:
    """A copy of nested dicts and lists whose tensors lie in the CPU's memory.

    A tensor that has several names (tied embeddings) is copied once and shared again. Copies from a
    GPU go through pinned memory, which torch's allocator keeps for the next time.
    """
    copies: dict[tuple[Any, ...], torch.Tensor] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: copy(each) for key, each in value.items()}
        if isinstance(value, list):
            return [copy(each) for each in value]
        if not isinstance(value, torch.Tensor):
            return value
        key = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key not in copies:
            target = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            copies[key] = target.copy_(value, non_blocking=True)
        return copies[key]

    with torch.no_grad():
        result = copy(state)
    if any(tensor.is_pinned() for tensor in copies.values()):
        torch.cuda.synchronize()
    return result
