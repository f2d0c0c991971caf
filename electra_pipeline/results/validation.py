"""How good a finished leg is by its task's own metric: what legs are chosen by."""

from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.task import VALIDATION


def validation_score(leg: Artifact) -> tuple[str, float]:
    """The first metric of the leg's task, and its value on the validation split."""
    scores = leg.counters["metrics"][VALIDATION]
    # Before format 4 the config also named metrics that tags without chunks do not have.
    metric = next(name for name in leg.config["metrics"] if name in scores)
    return metric, float(scores[metric])
