"""The validation score by which trials are selected."""

from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.task import VALIDATION


def validation_score(trial: Artifact) -> tuple[str, float]:
    """Return the name of the first metric of the trial's task and its value on validation."""
    scores = trial.counters["metrics"][VALIDATION]
    # Before format 4 the config also listed chunk metrics for tags that are not chunks.
    metric = next(name for name in trial.config["metrics"] if name in scores)
    return metric, float(scores[metric])
