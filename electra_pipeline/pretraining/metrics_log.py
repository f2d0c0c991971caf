"""What a run tells of itself while it trains: metrics, rates, signs of life."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from electra_pipeline.core.execution import Worker
from electra_pipeline.core.progress import Update
from electra_pipeline.pretraining.checkpoint import ResumePoint, TrainingLog
from electra_pipeline.pretraining.scalars import TensorBoardWriter

REPORT_SECONDS = 1.0  # how often rank 0 shows a sign of life

Item = TypeVar("Item")


@dataclass(frozen=True)
class Throughput:
    """How fast the work went since the last line of metrics."""

    tokens_per_second: float
    """Tokens that are not padding, of all workers together."""
    waiting_fraction: float
    """Share of the time that the step waited for its batch."""


class ThroughputMeter:
    """Measures `Throughput` between two readings."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew; what was before is in no reading."""
        self._started = time.monotonic()
        self._waited = 0.0
        self._num_tokens = 0

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The same batches, with the time measured that each lets the loop wait."""
        iterator = iter(batches)
        while True:
            started = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waited += time.monotonic() - started
            yield batch

    def count(self, num_tokens: int) -> None:
        self._num_tokens += num_tokens

    def read(self) -> Throughput:
        """The rates since the last reading; the next ones begin now."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        rates = Throughput(self._num_tokens / seconds, self._waited / seconds)
        self.restart()
        return rates


class MetricsLog:
    """Keeps the history and shows it: as progress and, where `scalars` is given, in TensorBoard.

    All workers keep one, since a line of training metrics needs all of them; rank 0 alone shows it.
    """

    def __init__(
        self,
        stage: str,
        steps: int,
        worker: Worker,
        position: ResumePoint,
        scalars: TensorBoardWriter | None,
    ) -> None:
        self.history: TrainingLog = list(position.history)
        self._stage, self._steps = stage, steps
        self._worker = worker
        self._scalars = scalars
        self._step = position.step
        self._started = time.monotonic() - position.seconds
        self._shown_at = -math.inf
        self._facts: dict[str, float | str] = {}
        for line in self.history:
            self._facts |= facts(line)

    @property
    def seconds(self) -> float:
        """Time spent on training, that before an interruption included."""
        return time.monotonic() - self._started

    def add(
        self, step: int, split: str, metrics: Mapping[str, float], rates: Throughput | None = None
    ) -> None:
        """Note a line of metrics, if there are any; rates are shown and never part of it."""
        if not metrics:
            return
        line: dict[str, Any] = {"step": step, "split": split, **metrics}
        self.history.append(line)
        self._facts |= facts(line)
        shown = {f"{split}/{name}": value for name, value in metrics.items()}
        if rates is not None:
            self._facts["tokens/s"] = f"{rates.tokens_per_second:,.0f}"
            self._facts["wait"] = f"{rates.waiting_fraction:.0%}"
            shown["speed/tokens_per_second"] = rates.tokens_per_second
            shown["speed/waiting_fraction"] = rates.waiting_fraction
        if self._scalars is not None:
            try:
                self._scalars.add(step, shown)
            except OSError as error:  # curves are worth no training
                self._scalars = None
                self.say(f"no more metrics for TensorBoard: {error}")

    def show(self, step: int) -> None:
        """A sign of life, if the last one is some time ago or the work is done."""
        self._step = step
        now = time.monotonic()
        if self._worker.rank == 0 and (
            now - self._shown_at >= REPORT_SECONDS or step == self._steps
        ):
            self._shown_at = now
            self._worker.report(self._update())

    def say(self, message: str) -> None:
        """Put a line into the driver's log."""
        if self._worker.rank == 0:
            self._worker.report(self._update(f"{self._stage}: {message}"))

    def _update(self, message: str = "") -> Update:
        # in a fixed order, whichever came first
        shown = {name: self._facts[name] for name in FACTS if name in self._facts}
        return Update(self._stage, self._step, self._steps, "steps", shown, message)


FACTS = ("D loss", "G loss", "AUC", "lr", "tokens/s", "wait")


def facts(line: Mapping[str, Any]) -> dict[str, float | str]:
    """What of a line of metrics is shown on one line: losses beside what a guess would get.

    `D loss 0.3615 (prior 0.3736)`: the prior knows only how often tokens are replaced. The AUC is
    the last one on held-out text.
    """
    if line["split"] == "train":
        return {
            "D loss": f"{line['discriminator_loss']:.4f} (prior {line['prior_entropy']:.4f})",
            "G loss": line["generator_loss"],
            "lr": f"{line['learning_rate']:.1e}",
        }
    return {"AUC": line["discriminator_auc"]} if "discriminator_auc" in line else {}
