"""Steps of `prefect deploy` (prefect.yaml): what its deployments take from this package."""

from contextlib import suppress
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectAlreadyExists

from electra_pipeline.presets import preset_names, preset_text


def presets() -> dict[str, Any]:
    """The presets by name, so that prefect.yaml need not repeat them."""
    return {name: yaml.safe_load(preset_text(name)) for name in preset_names()}


def work_queue(pool: str, name: str, limit: int) -> dict[str, Any]:
    """Make a queue of a work pool that lets `limit` runs work at once, if it is not there.

    Later its limit is the operator's: `prefect work-queue set-concurrency-limit NAME N -p POOL`.
    """
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_queue(name=name, concurrency_limit=limit, work_pool_name=pool)
    return {}
