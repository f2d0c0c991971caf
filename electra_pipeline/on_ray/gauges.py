"""How far a training is, for Prometheus: Ray's nodes export it beside Ray's own metrics.

`ray_electra_pipeline_done` and `ray_electra_pipeline_total` count steps; their rate is PromQL's to
take. Each measure that is a number (`G loss`, `AUC`) is a `ray_electra_pipeline_measure`. The
driver's node exports them; a Ray of one run alone exports nothing.
"""

import re
from functools import cache
from typing import Any

from electra_pipeline.core.progress import Update


def show(update: Update) -> None:
    """Set the gauges to an update; to be called while this process is connected to Ray."""
    tags = {"stage": update.stage}
    _gauge("done", "Units of a stage that are done.", "stage").set(update.done, tags)
    _gauge("total", "Units that a stage has in all.", "stage").set(update.total, tags)
    for name, value in update.metrics.items():
        if isinstance(value, float):
            measure = re.sub(r"\W+", "_", name).lower()
            gauge = _gauge("measure", "Latest value of a measure of a stage.", "stage", "measure")
            gauge.set(value, tags | {"measure": measure})


@cache
def _gauge(name: str, description: str, *tags: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(f"electra_pipeline_{name}", description, tag_keys=tags)
