"""What a fine-tuned model says of the examples it is scored on, and how right it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from electra_pipeline.finetuning.loop import Hyperparameters, predict
from electra_pipeline.results import predictions
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.tasks.bootstrap import intervals
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.task import VALIDATION, Kind


@dataclass
class Scores:
    """Of each scored split, by metric."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    majority: dict[str, dict[str, float]] = field(default_factory=dict)
    """What a guess that looks at the training labels alone would have."""
    intervals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """95 % interval [lower, upper] of the model's metrics, over the examples (see `bootstrap`)."""
    degenerate: bool = False
    """Whether the training came to nothing, by the validation split (see `is_degenerate`)."""


def score(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    *,
    kind: Kind,
    hyperparameters: Hyperparameters,
    draft: Draft,
    report: Callable[[str, int, int], None],
) -> Scores:
    """Score the model on each labelled split, and predict the unlabelled ones too.

    Writes `predictions.parquet` into the draft. `report` is called with the step, the inputs done
    and their number.
    """
    task_kind = data.kind

    def predicted(split: str, examples: Sequence[Any]) -> list[Any]:
        longest, batch = hyperparameters.max_length, hyperparameters.batch_examples
        features = task_kind.encode(tokenizer, examples, longest, training=False).features
        told = partial(report, f"scoring {split}")
        logits = predict(model, task_kind, features, batch_examples=batch, report=told)
        return task_kind.decode(examples, features, logits)

    def shown(split: str, examples: Sequence[Any], found: Sequence[Any]) -> list[Mapping[str, Any]]:
        return [
            {"split": split, "id": example.id, **task_kind.show(example, prediction)}
            for example, prediction in zip(examples, found, strict=True)
        ]

    scores = Scores()
    with predictions.writer(draft) as write:
        for split, examples in data.scored.items():
            found = predicted(split, examples)
            scores.metrics[split] = task_kind.score(examples, found, data.metrics)
            guesses = task_kind.majority(data.train, examples)
            scores.majority[split] = task_kind.score(examples, guesses, data.metrics)
            rows = shown(split, examples, found)
            scores.intervals[split] = intervals(kind, data.metrics, rows)
            write(rows)
            if split == VALIDATION:
                said = [row["prediction"] for row in rows]
                of_split = scores.metrics[split], scores.majority[split]
                scores.degenerate = is_degenerate(said, *of_split)
        for split, examples in data.unlabelled.items():
            rows = shown(split, examples, predicted(split, examples))
            write([{**row, "expected": None, "score": None} for row in rows])
    return scores


def is_degenerate(
    predictions: Sequence[Any], scores: Mapping[str, float], majority: Mapping[str, float]
) -> bool:
    """Whether a model says the same of every example, or is no better than the majority guess.

    Better by the first metric, which is the task's own. Some seeds end so, of large models above
    all (ELECTRA's published runs too); such a trial is counted and told, never left out.
    """
    metric = next(iter(scores))
    says_one_thing = all(prediction == predictions[0] for prediction in predictions)
    return (len(predictions) > 1 and says_one_thing) or not scores[metric] > majority[metric]
