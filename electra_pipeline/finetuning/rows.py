"""Rows of the results table from the artifacts of finished trials."""

from collections.abc import Iterable
from typing import Any

from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.grid_selection import select_trials
from electra_pipeline.finetuning.trial import MAJORITY
from electra_pipeline.storage.artifact import Artifact


def reported_rows(config: FinetuneConfig, trials: Iterable[Artifact]) -> list[dict[str, Any]]:
    """Return the rows of finished trials; of a grid, those of the selected points."""
    selected = select_trials(list(trials), config.choose)
    return [row for trial, note in selected for row in trial_rows(trial, note)]


def trial_rows(trial: Artifact, note: str | None = None) -> list[dict[str, Any]]:
    """Return one row for each split and metric of a trial, and the majority baseline's.

    `note` is appended to the trial's own note.
    """
    config, counters, observed = trial.config, trial.counters, trial.observed
    notes = "; ".join(each for each in (counters["note"], note) if each)
    # "start" is the on-disk name of a trial's init
    models = [
        (config["start"], counters["metrics"], counters["intervals"], notes or None),
        (MAJORITY, counters["majority"], {}, None),
    ]
    rows = []
    for model, scores, intervals, model_note in models:
        for split, values in scores.items():
            for metric, value in values.items():
                lower, upper = intervals.get(split, {}).get(metric, (None, None))
                rows.append(
                    {
                        "run": counters["run"],
                        "model": model,
                        "fingerprint": trial.inputs["model"],
                        "task": config["task"],
                        "metric": metric,
                        "split": split,
                        "seed": config["seed"],
                        "value": value,
                        "lower": lower,
                        "upper": upper,
                        "note": model_note,
                        "examples": counters["examples"][split],
                        "seconds": observed["seconds"],
                        "trial": trial.fingerprint,
                        "created_at": observed["created_at"],
                    }
                )
    return rows
