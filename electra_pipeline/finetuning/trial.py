"""One trial of fine-tuning: its settings, and the artifact that it makes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from electra_pipeline.core.identity import fingerprint
from electra_pipeline.storage.artifact import Artifact, locate, open_artifact
from electra_pipeline.tasks.task import Task

if TYPE_CHECKING:  # configurations import this module
    from electra_pipeline.finetuning.hyperparameters import Hyperparameters
    from electra_pipeline.finetuning.resources import Estimate
    from electra_pipeline.tasks.encoder import Encoder

STAGE = "finetune"
# 4: the config's metrics are those that suit the data; empty records are counted, not scored; the
# kept config.json has the settings of decoding (`tasks/kinds/decoding_settings.py`)
# 5: the optimizer rounds otherwise; bfloat16 draws dropout in another order
FORMAT_VERSION = 5
PRETRAINED, RANDOM, MAJORITY = "pretrained", "random", "majority"
INIT_CHARACTERS = 60  # of a baseline's name in the name of a trial's directory


@dataclass(frozen=True)
class Trial:
    """One fine-tuning of a task from an init with a seed. Picklable; runs on any node."""

    run: str
    root: str
    task: Task
    metrics: tuple[str, ...]
    """The metrics that suit the task's data, its main one first."""
    data: str | None
    """Directory or URI of the published tasks' files; None: the Hugging Face Hub."""
    init: str
    """The model's name in the results: pretrained, random, or a baseline's as in the config."""
    seed: int
    model: "Encoder"
    """The model under test; the rows of baselines bear its fingerprint too."""
    encoder: "Encoder | None"
    """The initial weights; None: random weights for the model's architecture."""
    hyperparameters: "Hyperparameters"
    digests: Mapping[str, str]
    """sha256 of each split's examples when the trial was planned."""
    keep_model: bool
    estimate: "Estimate"
    """Expected operations and memory, for scheduling; not part of the trial's identity."""
    parent: "Trial | None" = None
    """In the second of two rounds, the trial whose fine-tuned encoder is the initial one."""
    grid_point: Mapping[str, float] = field(default_factory=dict)
    """The values of the hyperparameters that a grid varies."""

    @property
    def label(self) -> str:
        """Name the trial among those of one run."""
        point = "".join(f", {name}={value:g}" for name, value in self.grid_point.items())
        return f"{self.task.name}, {self.init}, seed {self.seed}{point}"

    @property
    def full_label(self) -> str:
        """Name the trial among those of several runs."""
        return f"{self.run}, {self.label}"

    @property
    def source(self) -> "Encoder":
        """The encoder whose architecture and tokenizer the trial uses."""
        return self.encoder or self.model


def find_trial(trial: Trial) -> Artifact | None:
    """Return the artifact of a trial that has finished, or None."""
    return open_artifact(locate(**identity(trial)))


def trial_uri(trial: Trial) -> str:
    """Return the path or URI of a trial's artifact, finished or not."""
    return str(locate(**identity(trial)))


def identity(trial: Trial) -> dict[str, Any]:
    """Return what determines a trial's artifact, as arguments of `produce` and `locate`."""
    inputs = {
        "model": trial.model.fingerprint,
        "encoder": trial.source.fingerprint,
        **trial.digests,
    }
    if trial.parent is not None:
        inputs["parent"] = _fingerprint(trial.parent)
    init = re.sub(r"[^A-Za-z0-9._-]+", "-", trial.init).strip("-.")[-INIT_CHARACTERS:]
    return {
        "root": trial.root,
        "stage": STAGE,
        "name": f"{trial.run}-{trial.task.name}-{init}-{trial.seed}",
        "format_version": FORMAT_VERSION,
        # These keys are hashed: they keep their names ("start" is the init, "after" the parent).
        "config": {
            "task": trial.task.name,
            "type": trial.task.type,
            "metrics": list(trial.metrics),
            "labels": list(trial.task.labels) if trial.task.labels else None,
            "symmetric": trial.task.symmetric,
            "start": trial.init,
            "after": trial.parent.task.name if trial.parent is not None else None,
            "seed": trial.seed,
            "keep_model": trial.keep_model,
            **trial.hyperparameters.model_dump(mode="json"),
        },
        "inputs": inputs,
    }


def _fingerprint(trial: Trial) -> str:
    given = identity(trial)
    return fingerprint(STAGE, given["format_version"], given["config"], given["inputs"])
