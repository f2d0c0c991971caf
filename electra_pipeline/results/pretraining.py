"""What held-out text says of a pre-trained model, as rows of the results table."""

from collections.abc import Iterable, Sequence
from typing import Any

from electra_pipeline.results.store import Row
from electra_pipeline.storage.artifact import Artifact

TASK = "pretraining"  # the rows' task; no task of a user may have this name
SPLIT = "held_out"
HEADER = ("generator loss", "discriminator loss", "less prior entropy", "AUC")


def rows(
    run: str, pretrained: Artifact, model: Artifact, sequences: Artifact
) -> list[dict[str, Any]]:
    """One row for each held-out metric of `pretrained`, which was published as `model`.

    `examples` counts the held-out sequences of `sequences` that were read. There is no row where
    nothing was held out.
    """
    limit = int(pretrained.config["held_out_sequences"])
    observed = pretrained.observed
    return [
        {
            "run": run,
            "model": "pretrained",
            "fingerprint": model.fingerprint,
            "task": TASK,
            "metric": metric,
            "split": SPLIT,
            "seed": pretrained.config["seed"],
            "value": value,
            "examples": min(limit, sequences.counters[SPLIT]["sequences"]),
            "seconds": observed["training_seconds"],
            "trial": pretrained.fingerprint,
            "created_at": observed["created_at"],
        }
        for metric, value in pretrained.counters["held_out"].items()
    ]


def split(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Rows about tasks, and rows about pre-training, each in their order."""
    tasks: list[Row] = []
    pretraining: list[Row] = []
    for row in rows:
        (pretraining if row["task"] == TASK else tasks).append(row)
    return tasks, pretraining


def cells(values: dict[str, float]) -> list[str]:
    """The texts under `HEADER`: losses in nats; below 0, more was learnt than the prior."""
    loss, prior = values.get("discriminator_loss"), values.get("prior_entropy")
    shown = (
        values.get("generator_loss"),
        loss,
        None if loss is None or prior is None else loss - prior,
        values.get("discriminator_auc"),
    )
    return ["-" if value is None else f"{value:.4f}" for value in shown]


def table(summaries: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Column names, and one line for each pre-trained model, from aggregated rows."""
    models: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in summaries:
        key = (row["run"], row["fingerprint"], row["examples"])
        models.setdefault(key, {})[row["metric"]] = row["median"]
    header = ["run", "pre-trained model", "held-out sequences", *HEADER]
    return header, [
        [run, fingerprint, str(examples), *cells(values)]
        for (run, fingerprint, examples), values in models.items()
    ]
