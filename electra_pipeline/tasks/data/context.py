"""What the readers of one split share: the task, its columns, and counts of dropped records."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from electra_pipeline.tasks.data.values import invalid
from electra_pipeline.tasks.task import Columns, Task

LOGGER = logging.getLogger("electra_pipeline.tasks.data")
QUIET = logging.Logger("quiet", logging.CRITICAL + 1)  # for data whose warnings were logged before


@dataclass(frozen=True)
class ReadContext:
    """How to read one split, and which records were dropped."""

    task: Task
    columns: Columns
    labelled: bool
    """Whether examples have labels; if not, the label column is not read."""
    logger: logging.Logger = LOGGER
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of dropped records by reason."""

    def is_allowed(self, label: str, where: str) -> bool:
        """Return whether the task has this label; one without a list of labels has any.

        Raises ValueError for others, or counts them if `other_labels` is drop.
        """
        task = self.task
        if task.labels is None or label in task.labels:
            return True
        if task.other_labels == "drop":
            self.dropped["other_label"] += 1
            return False
        allowed = ", ".join(task.label_values or task.labels)
        remedy = "repair the row, add it to labels, or set other_labels to drop"
        raise invalid(where, "label", f"one of {allowed}", label, remedy)
