"""Predictions and scores of a fine-tuned model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from electra_pipeline.finetuning.loop import Hyperparameters
from electra_pipeline.results import predictions
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.tasks.bootstrap import groups, intervals
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.kinds.inference import predict
from electra_pipeline.tasks.kinds.metrics import statistic
from electra_pipeline.tasks.task import VALIDATION


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


def score(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    *,
    hyperparameters: Hyperparameters,
    draft: Draft,
    report: Callable[[str, int, int], None],
) -> Scores:
    """Score the model on each labelled split, and predict the unlabelled ones too.

    Writes `predictions.parquet` into the draft. `report` receives the step, the inputs done and
    their number.
    """
    kind = data.kind

    def predicted(split: str, examples: Sequence[Any]) -> list[dict[str, Any]]:
        _, found = predict(
            model,
            tokenizer,
            kind,
            examples,
            max_length=hyperparameters.max_length,
            batch_examples=hyperparameters.batch_examples,
            report=partial(report, f"scoring {split}"),
        )
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
