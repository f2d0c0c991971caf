"""How good a finished trial is by its task's own metric: what trials are chosen by."""

from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.task import VALIDATION


def validation_score(trial: Artifact) -> tuple[str, float]:
    """The first metric of the trial's task, and its value on the validation split."""
    scores = trial.counters["metrics"][VALIDATION]
    # Before format 4 the config also named metrics that tags without chunks do not have.
    metric = next(name for name in trial.config["metrics"] if name in scores)
    return metric, float(scores[metric])
