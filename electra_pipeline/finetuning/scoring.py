"""Predictions and scores of a fine-tuned model, and its no-answer threshold (SQuAD 2.0)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from electra_pipeline.results import predictions
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.tasks.bootstrap import groups, intervals
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.kinds.kind import TaskKind
from electra_pipeline.tasks.kinds.metrics import statistic
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering
from electra_pipeline.tasks.task import VALIDATION

Predict = Callable[[TaskKind[Any, Any], Sequence[Any], str], list[Any]]
"""Returns a prediction for each example of a kind of task; the text names the step in progress."""


@dataclass
class Scores:
    """The scores of each labelled split, by metric."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    majority: dict[str, dict[str, float]] = field(default_factory=dict)
    """Scores of the baseline that sees the training labels alone (see `TaskKind.majority`)."""
    intervals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """95 % interval [lower, upper] of the model's metrics, over the examples (see `bootstrap`)."""
    degenerate: bool = False
    """Whether training failed, by the validation split (see `is_degenerate`)."""


def calibrated(data: TaskData, predict: Predict) -> tuple[TaskData, dict[str, float]]:
    """Return the task with its no-answer threshold, and the threshold and number of questions.

    The questions are those that `load` held out of train, so that neither the model nor the
    threshold has seen what is scored. A task that holds none out is returned unchanged.
    """
    if not data.calibration or not isinstance(data.kind, QuestionAnswering):
        return data, {}
    answers = predict(data.kind, data.calibration, "calibration")
    kind = data.kind.calibrated(data.calibration, answers)
    metrics = {"threshold": kind.threshold, "questions": len(answers)}
    return replace(data, kind=kind), metrics


def score(data: TaskData, predict: Predict, draft: Draft) -> Scores:
    """Score the model on each labelled split, and predict the unlabelled ones too.

    Writes `predictions.parquet` into the draft.
    """
    kind = data.kind

    def predicted(split: str, examples: Sequence[Any]) -> list[dict[str, Any]]:
        found = predict(kind, examples, f"scoring {split}")
        return [
            {"split": split, "id": example.id, **kind.row(example, prediction)}
            for example, prediction in zip(examples, found, strict=True)
        ]

    scores = Scores()
    with predictions.writer(draft) as write:
        for split, examples in data.scored.items():
            rows = predicted(split, examples)
            write(rows)
            found = {metric: statistic(kind.name, metric, rows) for metric in data.metrics}
            guesses = kind.majority(data.train, examples)
            scores.metrics[split] = {metric: each.observed() for metric, each in found.items()}
            scores.majority[split] = kind.score(examples, guesses, data.metrics)
            scores.intervals[split] = intervals(found, groups(kind.name, rows))
            if split == VALIDATION:
                scores.degenerate = is_degenerate(
                    [row["prediction"] for row in rows],
                    scores.metrics[split],
                    scores.majority[split],
                )
        for split, examples in data.unlabelled.items():
            rows = predicted(split, examples)
            write([{**row, "expected": None, "score": None} for row in rows])
    return scores


def is_degenerate(
    predictions: Sequence[Any], scores: Mapping[str, float], majority: Mapping[str, float]
) -> bool:
    """Return whether a model predicts the same for every example, or is no better than majority.

    Better by the first metric, which is the task's main one. Some seeds end so, above all of large
    models (ELECTRA's published runs too); such a trial is counted and reported, never left out.
    """
    metric = next(iter(scores))
    is_constant = all(prediction == predictions[0] for prediction in predictions)
    return (len(predictions) > 1 and is_constant) or not scores[metric] > majority[metric]
