"""Progress callback and update type: a stage calls a `Progress` with each `Update`."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Update:
    """Progress of a stage: `done` of `total` `unit`s, with metrics such as losses.

    `item` names one of several things that the stage runs at the same time; `done` and `total` then
    count for it alone. `message` is written to the driver's log: nobody reads the log of a worker
    on another machine.
    """

    stage: str
    done: float
    total: float
    unit: str
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    message: str = ""
    item: str = ""

    @property
    def name(self) -> str:
        """The stage, with the item if there is one, for display."""
        return f"{self.stage} {self.item}" if self.item else self.stage

    @property
    def step(self) -> tuple[str, ...]:
        """What a rate is computed for: stage, item, unit and the `step` among the metrics."""
        return (self.stage, self.item, self.unit, str(self.metrics.get("step", "")))

    def metrics_text(self) -> str:
        """Return the metrics on one line, numbers to four significant digits."""
        return "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.metrics.items()
        )


Progress = Callable[[Update], None]


def throttled(progress: Progress, seconds: float) -> Progress:
    """Return a callback that forwards at most one update per interval.

    The first update, the last of a stage and those with a message are always forwarded.
    """
    last = -seconds

    def forward(update: Update) -> None:
        nonlocal last
        now = time.monotonic()
        if update.done >= update.total or update.message or now - last >= seconds:
            last = now
            progress(update)

    return forward


def deliver(update: Update, progress: Progress) -> None:
    """Log an update's message and forward the rest; executors call this once for each update."""
    if update.message:
        logger.warning("%s", update.message)
    progress(replace(update, message=""))


def silent(update: Update) -> None:
    """Ignore the update."""
