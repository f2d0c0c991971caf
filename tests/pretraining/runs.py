"""Short pre-training runs of a tiny model, shared by the tests."""

from collections.abc import Callable
from typing import Any

import orjson

from electra_pipeline.core.execution import LocalExecutor, Scale, TrainFunction, Worker
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.sizes import ModelOverrides
from electra_pipeline.storage.artifact import Artifact

CONFIG = PretrainConfig(
    size="tiny",
    model=ModelOverrides(
        embedding_size=16, hidden_size=32, num_layers=2, num_heads=2, feed_forward_size=64
    ),
    steps=24,
    batch_sequences=6,
    learning_rate=2e-3,
    warmup_steps=4,
    log_every_steps=4,
    evaluate_every_steps=8,
    held_out_sequences=20,
)


class Killed(BaseException):
    """Ends a run where a signal would."""


class Watched(LocalExecutor):
    """Calls `at_step` whenever a step is done; one thread, so that two runs add up alike."""

    def __init__(self, at_step: Callable[[float], None] = lambda step: None) -> None:
        self.at_step = at_step

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        def report(update: Update) -> None:
            self.at_step(update.done)

        function(Worker(progress=report, num_threads=1))


def dies_at(step: int) -> Watched:
    """Return an executor whose worker dies when it is about to report `step`."""

    def at_step(done: float) -> None:
        if done >= step:
            raise Killed

    return Watched(at_step)


def training_log(artifact: Artifact) -> list[dict[str, Any]]:
    lines = artifact.folder.read_bytes("metrics.jsonl").splitlines()
    return [orjson.loads(line) for line in lines]
