"""How a stage tells that it moves: it calls a `Progress`; who listens decides what to draw."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Update:
    """One sign of life: `done` of `total` `unit`s of a stage, with facts such as losses.

    `item` names one of several things that the stage does at the same time, where `done` and
    `total` are of that one alone. `message` is for the log: a worker on another machine has no log
    that anyone reads.
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
        """What the numbers are about, as shown: the stage, and the item if it is of one."""
        return f"{self.stage} {self.item}" if self.item else self.stage

    @property
    def step(self) -> tuple[str, ...]:
        """What a rate is about: stage, item, unit and, of a stage with several, the step of it."""
        return (self.stage, self.item, self.unit, str(self.metrics.get("step", "")))

    def metrics_text(self) -> str:
        """The facts on one line, numbers to four significant digits."""
        return "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.metrics.items()
        )


Progress = Callable[[Update], None]


def throttled(progress: Progress, seconds: float) -> Progress:
    """Hand on updates at least so far apart, the first one and the last one of a stage anyway."""
    last = -seconds

    def hear(update: Update) -> None:
        nonlocal last
        now = time.monotonic()
        if update.done >= update.total or update.message or now - last >= seconds:
            last = now
            progress(update)

    return hear


def deliver(update: Update, progress: Progress) -> None:
    """Log an update's message, once, and hand on the rest; for executors."""
    if update.message:
        logger.warning("%s", update.message)
    progress(replace(update, message=""))


def silent(update: Update) -> None:
    """Show nothing."""
