"""When a fine-tuned model answers nothing: a threshold chosen on questions of the training data."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from electra_pipeline.finetuning.loop import Hyperparameters, predict
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering


def calibrated(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    hyperparameters: Hyperparameters,
    report: Callable[[str, int, int], None],
) -> tuple[TaskData, dict[str, float]]:
    """The task with its null threshold, and the counters: `threshold` and how many questions chose.

    The questions are those that `load` held out of train: neither the model nor the threshold ever
    saw what is scored. Tasks that hold nothing out stay as they are. `report` is called with the
    step, the inputs done and their number.
    """
    kind = data.kind
    if not data.calibration or not isinstance(kind, QuestionAnswering):
        return data, {}
    questions = data.calibration
    features = kind.encode(
        tokenizer, questions, hyperparameters.max_length, training=False
    ).features
    logits = predict(
        model,
        kind,
        features,
        batch_examples=hyperparameters.batch_examples,
        report=partial(report, "calibration"),
    )
    kind = kind.calibrated(questions, kind.decode(questions, features, logits))
    facts = {"threshold": kind.threshold, "questions": len(questions)}
    return replace(data, kind=kind), facts
