"""What a fine-tuned model says of the examples it is scored on, and how right it is."""

from typing import Any

import orjson

from electra_pipeline.artifact import Draft
from electra_pipeline.evaluation.tasks.data import TaskData
from electra_pipeline.evaluation.training import Hyperparameters, predict


def score(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    *,
    hyperparameters: Hyperparameters,
    draft: Draft,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Metrics of each scored split, and of the guess by the training labels alone.

    Writes `predictions.jsonl` into the draft.
    """
    problem = data.problem
    metrics, majority = {}, {}
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
            for example, prediction in zip(examples, predictions, strict=True):
                line = {"split": split, **problem.show(example, prediction)}
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return metrics, majority
