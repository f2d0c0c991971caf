"""Snapshots: a kept checkpoint as an artifact, to publish and evaluate like a finished run.

It has the same files as a finished pre-training (weights, training log, counters). The run itself
may still be training.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.pretraining import STEP_SEPARATOR, loop
from electra_pipeline.pretraining.checkpoint import (
    check_belongs_to,
    file_name,
    kept_folder,
    steps_in,
)
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.outputs import write_outputs
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.storage.artifact import (
    Artifact,
    Draft,
    Written,
    find_artifacts,
    locate,
    open_artifact,
    produce,
)
from electra_pipeline.storage.folder import Folder

STAGE = "snapshot"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class PretrainingRun:
    """A pre-training run, finished or not, identified by its configuration and inputs."""

    config: PretrainConfig
    tokenizer: Artifact
    sequences: Artifact
    context: StageContext

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The identity of the run's artifact; hashing an initial model takes a while."""
        return loop.identity(self.config, self.tokenizer, self.sequences, self.context)

    @property
    def fingerprint(self) -> str:
        hashed = ("stage", "format_version", "config", "inputs")
        return fingerprint(*(self.identity[key] for key in hashed))

    @property
    def finished(self) -> Artifact | None:
        """The artifact of the last step, or None while the run is not finished."""
        return open_artifact(locate(**self.identity))

    @property
    def checkpoints(self) -> Folder:
        """The folder of its kept checkpoints."""
        return kept_folder(self.context.root, f"{self.context.name}-{self.fingerprint}")

    def steps(self) -> list[int]:
        """Return the steps before the last one that have a checkpoint or a snapshot."""
        snapshots = find_artifacts(self.context.root, STAGE)
        made = [s for s in snapshots if s.inputs["pretrained"] == self.fingerprint]
        return sorted({*steps_in(self.checkpoints), *(int(s.config["step"]) for s in made)})


def from_checkpoint(run: PretrainingRun, step: int) -> Artifact:
    """Return the snapshot of `step`, with the files and counters of a finished pre-training.

    Raises ValueError if the checkpoint is damaged or belongs to another run.
    """

    def write(draft: Draft) -> Written:
        uri = f"{run.checkpoints}/{file_name(step)}"
        state = _load(run.checkpoints, step, uri)
        check_belongs_to(run.fingerprint, state, uri)
        vocabulary = load_vocabulary(run.tokenizer)
        model = loop.build_model(run.config, vocabulary, run.sequences)
        model.load_state_dict(state["model"])
        training_log = state["history"]  # the key in checkpoint files
        counted = write_outputs(
            draft, model, training_log, run.sequences, step, run.config.batch_sequences
        )
        return Written(counted, {"training_seconds": round(state["seconds"], 1)})

    return produce(
        root=run.context.root,
        stage=STAGE,
        name=f"{run.context.name}{STEP_SEPARATOR}{step}",
        format_version=FORMAT_VERSION,
        config={**run.identity["config"], "step": step},
        inputs={"pretrained": run.fingerprint, "tokenizer": run.tokenizer.fingerprint},
        write=write,
    )


def _load(folder: Folder, step: int, uri: str) -> dict[str, Any]:
    try:
        with folder.open(file_name(step)) as file:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and the file system each have their own
        problem = first_line(error)
        raise ValueError(
            f"{uri} cannot be read ({problem}); remove it to leave out its step"
        ) from error
    return state
