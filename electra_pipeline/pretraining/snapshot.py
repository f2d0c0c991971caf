"""A run at one of its steps: a kept checkpoint as an artifact that can be published like any.

It has what a finished run has (weights, history, numbers), so that publishing and evaluating need
not know the difference. The run itself may still be training.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.pretraining import loop
from electra_pipeline.pretraining.checkpoint import (
    file_name,
    kept_folder,
    refuse_foreign,
    steps_in,
)
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.folders import STEP_SEPARATOR
from electra_pipeline.pretraining.outputs import count, write_history, write_weights
from electra_pipeline.pretraining.sequences import load_vocabulary
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
class Training:
    """A pre-training run, finished or not, as its configuration and inputs name it."""

    config: PretrainConfig
    tokenizer: Artifact
    sequences: Artifact
    context: StageContext

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What names the run's artifact; hashing a model that it continues takes a while."""
        return loop.identity(self.config, self.tokenizer, self.sequences, self.context)

    @property
    def fingerprint(self) -> str:
        named = ("stage", "format_version", "config", "inputs")
        return fingerprint(*(self.identity[key] for key in named))

    @property
    def finished(self) -> Artifact | None:
        """The artifact of the last step, or None while the run is not finished."""
        return open_artifact(locate(**self.identity))

    @property
    def checkpoints(self) -> Folder:
        """Where its kept checkpoints lie."""
        return kept_folder(self.context.root, f"{self.context.name}-{self.fingerprint}")

    def steps(self) -> list[int]:
        """Steps before the last that can be looked at: their checkpoint or snapshot is there."""
        snapshots = find_artifacts(self.context.root, STAGE)
        made = [s for s in snapshots if s.inputs["pretrained"] == self.fingerprint]
        return sorted({*steps_in(self.checkpoints), *(int(s.config["step"]) for s in made)})


def extract(training: Training, step: int) -> Artifact:
    """The artifact of `step`, with the files and counters of a finished pre-training.

    Raises ValueError if the checkpoint is damaged or another run's.
    """

    def write(draft: Draft) -> Written:
        place = f"{training.checkpoints}/{file_name(step)}"
        state = _load(training.checkpoints, step, place)
        refuse_foreign(state, training.fingerprint, place)
        vocabulary = load_vocabulary(training.tokenizer)
        model = loop.build_model(training.config, vocabulary, training.sequences)
        model.load_state_dict(state["model"])
        write_weights(draft, model)
        write_history(draft, state["history"])
        batch_sequences = training.config.batch_sequences
        counters = count(step, batch_sequences, training.sequences, model, state["history"])
        return Written(counters, {"training_seconds": round(state["seconds"], 1)})

    return produce(
        root=training.context.root,
        stage=STAGE,
        name=f"{training.context.name}{STEP_SEPARATOR}{step}",
        format_version=FORMAT_VERSION,
        config={**training.identity["config"], "step": step},
        inputs={
            "pretrained": training.fingerprint,
            "tokenizer": training.tokenizer.fingerprint,
        },
        write=write,
    )


def _load(folder: Folder, step: int, place: str) -> dict[str, Any]:
    try:
        with folder.open(file_name(step)) as file:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and the file system each have their own
        problem = first_line(error)
        raise ValueError(
            f"{place} cannot be read ({problem}); remove it to leave out its step"
        ) from error
    return state
