"""Held-out metrics of a pre-trained model as rows of the results table."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from electra_pipeline.storage.artifact import Artifact

if TYPE_CHECKING:  # its module imports SQLAlchemy, which no configuration needs
    from electra_pipeline.results.store import Row

TASK = "pretraining"  # the task column of these rows; reserved, so that no user task has this name
SPLIT = "held_out"
HEADER = ("generator loss", "discriminator loss", "less prior entropy", "AUC")


def rows(
    run: str, pretrained: Artifact, model: Artifact, sequences: Artifact
) -> list[dict[str, Any]]:
    """Return one row for each held-out metric of `pretrained`, which was published as `model`.

    `examples` is the number of held-out sequences that were evaluated. Without held-out documents
    there are no rows.
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


def split(rows: "Iterable[Row]") -> "tuple[list[Row], list[Row]]":
    """Split rows into those of tasks and those of pre-training; the order is kept."""
    tasks: list[Row] = []
    pretraining: list[Row] = []
    for row in rows:
        (pretraining if row["task"] == TASK else tasks).append(row)
    return tasks, pretraining


def cells(values: dict[str, float]) -> list[str]:
    """Format the cells under `HEADER`: losses in nats; the third is below 0 if the discriminator
    is better than a constant prediction of the replacement rate."""
    loss, prior = values.get("discriminator_loss"), values.get("prior_entropy")
    shown = (
        values.get("generator_loss"),
        loss,
        None if loss is None or prior is None else loss - prior,
        values.get("discriminator_auc"),
    )
    return ["-" if value is None else f"{value:.4f}" for value in shown]


def table(summaries: "Sequence[Row]") -> tuple[list[str], list[list[str]]]:
    """Return column names and one row for each pre-trained model, from aggregated rows."""
    models: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in summaries:
        key = (row["run"], row["fingerprint"], row["examples"])
        models.setdefault(key, {})[row["metric"]] = row["median"]
    header = ["run", "pre-trained model", "held-out sequences", *HEADER]
    return header, [
        [run, fingerprint, str(examples), *cells(values)]
        for (run, fingerprint, examples), values in models.items()
    ]
