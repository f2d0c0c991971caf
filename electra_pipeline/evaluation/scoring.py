"""What a fine-tuned model says of the examples it is scored on, and how right it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.artifact import Draft
from electra_pipeline.evaluation.tasks.data import TaskData
from electra_pipeline.evaluation.tasks.task import VALIDATION
from electra_pipeline.evaluation.training import Hyperparameters, predict


def score(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    *,
    hyperparameters: Hyperparameters,
    draft: Draft,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]], bool]:
    """Metrics of each scored split, and of the guess by the training labels alone.

    Last, whether the training came to nothing, by the validation split (see `is_degenerate`).
    Writes `predictions.jsonl` into the draft.
    """
    problem = data.problem
    metrics, majority = {}, {}
    degenerate = False
    with draft.create("predictions.jsonl") as file:
        for split, examples in data.scored.items():
            features = problem.encode(
                tokenizer, examples, hyperparameters.max_length, training=False
            ).features
            logits = predict(
                model, problem, features, batch_examples=hyperparameters.batch_examples
            )
            predictions = problem.decode(examples, features, logits)
            metrics[split] = problem.score(examples, predictions, data.metrics)
            guesses = problem.majority(data.train, examples)
            majority[split] = problem.score(examples, guesses, data.metrics)
            if split == VALIDATION:
                degenerate = is_degenerate(predictions, metrics[split], majority[split])
            for example, prediction in zip(examples, predictions, strict=True):
                line = {"split": split, **problem.show(example, prediction)}
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return metrics, majority, degenerate


def is_degenerate(
    predictions: Sequence[Any], scores: Mapping[str, float], majority: Mapping[str, float]
) -> bool:
    """Whether a model says the same of every example, or is no better than the majority guess.

    Better by the first metric, which is the task's own. Some seeds end so, of large models above
    all (ELECTRA's published runs too); such a leg is counted and told, never left out.
    """
    metric = next(iter(scores))
    says_one_thing = all(prediction == predictions[0] for prediction in predictions)
    return (len(predictions) > 1 and says_one_thing) or not scores[metric] > majority[metric]
