"""Rows of the results table: those of a pre-training and those of fine-tuning trials."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from electra_pipeline.config import PipelineConfig
from electra_pipeline.finetuning.rows import reported_rows
from electra_pipeline.results import pretraining, store
from electra_pipeline.results.database import UnreachableError
from electra_pipeline.stages import Artifacts
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.text.lost_text import warn_of_lost_text

logger = logging.getLogger(__name__)

RETRY_DELAYS_SECONDS = (1.0, 5.0, 15.0, 45.0)  # long enough for a database server to restart


def record_pretraining(config: PipelineConfig, made: Artifacts) -> list[dict[str, Any]]:
    """Write the held-out metrics of a published model into the results table; return the rows."""
    rows = pretraining.rows(config.name, made["pretrain"], made["publish"], made["sequences"])
    _record(config, rows)
    return rows


def record_trials(
    config: PipelineConfig, trials: Iterable[Artifact]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the rows of finished trials into the results table.

    Returns the rows, and name and error of each task whose rows cannot be computed; the rows of the
    other tasks are written nevertheless.
    """
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    by_task: dict[str, list[Artifact]] = {}
    for trial in trials:
        by_task.setdefault(trial.config["task"], []).append(trial)
    for task, members in by_task.items():
        try:
            _warn_of_truncated_inputs(task, members[0])
            rows += reported_rows(config.finetune, members) if config.finetune else []
        except Exception as error:  # of any kind: only the rows of this task are missing
            failures.append(f"{task}: {type(error).__name__}: {error}")
    _record(config, rows)
    return rows, failures


def _warn_of_truncated_inputs(task: str, trial: Artifact) -> None:
    """Log the fraction of a task's training text that was cut off, if it is large."""
    warn_of_lost_text(
        f"finetune: {task}",
        f"beyond the {trial.config['max_length']} tokens of an input",
        trial.counters["truncated_train_characters"],
        trial.counters["train_characters"],
        "raise finetune.max_length",
    )


def _record(config: PipelineConfig, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows into the results table; retry for a minute while the database is unreachable.

    Raises ValueError if it stays unreachable, or refuses the rows.
    """
    for delay_seconds in (*RETRY_DELAYS_SECONDS, None):
        try:
            return store.record(config.database_url, rows)
        except ValueError as error:
            if delay_seconds is None or not isinstance(error, UnreachableError):
                raise ValueError(
                    f"{error}; finished artifacts are kept, run it again to record them"
                ) from error
            logger.warning("%s; retrying in %g s", error, delay_seconds)
            time.sleep(delay_seconds)
    return None
