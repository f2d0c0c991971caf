"""Checkpoints of a run: everything that the next step depends on, in the draft's work folder."""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from electra_pipeline.artifact import Draft
from electra_pipeline.optim import Adam
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.storage import Folder

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Position:
    """Where a run stands: `step` updates are done; `history` holds the metrics up to there."""

    step: int
    history: History
    seconds: float


def _folder(draft: Draft) -> Folder:
    return draft.work / "checkpoints"


def save(draft: Draft, position: Position, model: Electra, optimizer: Adam, keep_last: int) -> None:
    """Write a checkpoint that appears whole or not at all, then drop the oldest ones.

    Weights and optimizer moments are all there is to save besides the step: the data, the masks and
    the samples are functions of (seed, step).
    """
    folder = _folder(draft)
    state = {
        "format": FORMAT_VERSION,
        "fingerprint": draft.fingerprint,
        "step": position.step,
        "history": position.history,
        "seconds": position.seconds,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with folder.create(f"step-{position.step:09d}.pt") as file:
        torch.save(state, file)
    for name in folder.files()[:-keep_last]:
        folder.remove(name)


def load_latest(draft: Draft, model: Electra, optimizer: Adam, device: torch.device) -> Position:
    """Restore the newest readable checkpoint into model and optimizer; step 0 if there is none.

    Raises ValueError if a checkpoint belongs to another configuration or data.
    """
    folder = _folder(draft)
    for name in reversed(folder.files()):
        try:
            with folder.open(name) as file:
                state = torch.load(file, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, OSError) as error:
            logger.warning("%s/%s cannot be read (%s); trying an older one", folder, name, error)
            continue
        if state["format"] != FORMAT_VERSION or state["fingerprint"] != draft.fingerprint:
            raise ValueError(
                f"{folder}/{name}: run {state['fingerprint']} (format {state['format']}), "
                f"but this is {draft.fingerprint} (format {FORMAT_VERSION}); remove the folder"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        logger.info("pretrain: resuming at step %d", state["step"])
        return Position(state["step"], state["history"], state["seconds"])
    return Position(0, [], 0.0)
