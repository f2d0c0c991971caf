"""Prometheus gauges of the progress of a stage; Ray's nodes export them with Ray's own metrics.

`ray_electra_pipeline_done` and `ray_electra_pipeline_total` count steps; PromQL computes rates.
Each numeric metric (`G loss`, `AUC`) is a `ray_electra_pipeline_measure`. The driver's node exports
them; a Ray that was started for one run exports nothing.
"""

import re
from functools import cache
from typing import Any

from electra_pipeline.core.progress import Update


def set_gauges(update: Update) -> None:
    """Set the gauges to an update; this process must be connected to Ray."""
    tags = {"stage": update.stage}
    _gauge("done", "Units of a stage that are done.", "stage").set(update.done, tags)
    _gauge("total", "Units of a stage in total.", "stage").set(update.total, tags)
    for name, value in update.metrics.items():
        if isinstance(value, float):
            measure = re.sub(r"\W+", "_", name).lower()
            gauge = _gauge("measure", "Latest value of a metric of a stage.", "stage", "measure")
            gauge.set(value, tags | {"measure": measure})


@cache
def _gauge(name: str, description: str, *tags: str) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(f"electra_pipeline_{name}", description, tag_keys=tags)
