"""The metrics log of a training run: lines of metrics, progress updates, TensorBoard."""

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from electra_pipeline.core.execution import Worker
from electra_pipeline.core.progress import Update
from electra_pipeline.pretraining.checkpoint import ResumePoint, TrainingLog
from electra_pipeline.pretraining.config import STAGE

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

REPORT_SECONDS = 1.0  # minimum interval of the progress updates of rank 0
SHOWN = ("D loss", "G loss", "AUC", "lr", "tokens/s", "wait")  # in this order

Item = TypeVar("Item")


@dataclass(frozen=True)
class Throughput:
    """Speed of the training since the last line of metrics."""

    tokens_per_second: float
    """Tokens without padding, of all workers together."""
    waiting_fraction: float
    """Fraction of the time that the step waited for its batch."""


class ThroughputMeter:
    """Measures `Throughput` between two readings."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start a new interval; the current one is not reported."""
        self._started = time.monotonic()
        self._waited = 0.0
        self._num_tokens = 0

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield the batches and measure how long the loop waits for each."""
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
        """Return the throughput since the last reading and start a new interval."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        throughput = Throughput(self._num_tokens / seconds, self._waited / seconds)
        self.restart()
        return throughput


def tensorboard_writer(directory: Path, first_step: int) -> "SummaryWriter":
    """Return the writer of one attempt at a run; all attempts share `directory`.

    The files are outside the artifact, because they contain times. TensorBoard hides the steps from
    `first_step` on of an earlier attempt that was interrupted: this one repeats them.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes a second to import

    return SummaryWriter(str(directory), purge_step=first_step)


class MetricsLog:
    """Collects lines of metrics; rank 0 reports them as progress and to TensorBoard, if given.

    Every worker has one, because the training metrics are computed by all workers together.
    """

    def __init__(
        self,
        num_steps: int,
        worker: Worker,
        resume_point: ResumePoint,
        tensorboard: "SummaryWriter | None",
    ) -> None:
        self.lines: TrainingLog = list(resume_point.training_log)
        self._num_steps = num_steps
        self._worker = worker
        self._tensorboard = tensorboard
        self._writes_tensorboard = tensorboard is not None
        self._step = resume_point.step
        self._started = time.monotonic() - resume_point.seconds
        self._reported_at = -math.inf
        self._shown: dict[str, float | str] = {}
        for line in self.lines:
            self._shown |= progress_metrics(line)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        if self._tensorboard is not None:
            with contextlib.suppress(OSError):  # each line was flushed when it was written
                self._tensorboard.close()

    @property
    def seconds(self) -> float:
        """Training time, including that before an interruption."""
        return time.monotonic() - self._started

    def add(
        self,
        step: int,
        split: str,
        metrics: Mapping[str, float],
        throughput: Throughput | None = None,
    ) -> None:
        """Append a line, unless `metrics` is empty; the throughput is shown but not in the line."""
        if not metrics:
            return
        line: dict[str, Any] = {"step": step, "split": split, **metrics}
        self.lines.append(line)
        self._shown |= progress_metrics(line)
        scalars = {f"{split}/{name}": value for name, value in metrics.items()}
        if throughput is not None:
            self._shown["tokens/s"] = f"{throughput.tokens_per_second:,.0f}"
            self._shown["wait"] = f"{throughput.waiting_fraction:.0%}"
            scalars["speed/tokens_per_second"] = throughput.tokens_per_second
            scalars["speed/waiting_fraction"] = throughput.waiting_fraction
        if self._tensorboard is not None and self._writes_tensorboard:
            try:
                for name, value in scalars.items():
                    self._tensorboard.add_scalar(name, value, step)
                self._tensorboard.flush()
            except OSError as error:  # a TensorBoard error must not stop training
                self._writes_tensorboard = False
                self.warn(f"no more metrics for TensorBoard: {error}")

    def report_progress(self, step: int) -> None:
        """Report a progress update if the last one is old enough or the work is done."""
        self._step = step
        now = time.monotonic()
        if self._worker.rank == 0 and (
            now - self._reported_at >= REPORT_SECONDS or step == self._num_steps
        ):
            self._reported_at = now
            self._worker.report(self._update())

    def warn(self, message: str) -> None:
        """Send a warning to the driver's log."""
        if self._worker.rank == 0:
            self._worker.report(self._update(f"{STAGE}: {message}"))

    def _update(self, message: str = "") -> Update:
        shown = {name: self._shown[name] for name in SHOWN if name in self._shown}
        return Update(STAGE, self._step, self._num_steps, "steps", shown, message)


def progress_metrics(line: Mapping[str, Any]) -> dict[str, float | str]:
    """Return the metrics of a line that a progress update shows.

    `D loss 0.3615 (prior 0.3736)`: the prior is the loss of a constant prediction of the rate of
    replaced tokens. The AUC is the latest one on held-out text.
    """
    if line["split"] == "train":
        return {
            "D loss": f"{line['discriminator_loss']:.4f} (prior {line['prior_entropy']:.4f})",
            "G loss": line["generator_loss"],
            "lr": f"{line['learning_rate']:.1e}",
        }
    return {"AUC": line["discriminator_auc"]} if "discriminator_auc" in line else {}
