"""Calibration of the no-answer threshold (SQuAD 2.0), on questions of the training data."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from electra_pipeline.finetuning.loop import Hyperparameters
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.kinds.inference import predict
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering


def calibrated(
    model: Any,
    tokenizer: Any,
    data: TaskData,
    hyperparameters: Hyperparameters,
    report: Callable[[str, int, int], None],
) -> tuple[TaskData, dict[str, float]]:
    """Return the task with its no-answer threshold, and the threshold and number of questions.

    The questions are those that `load` held out of train, so that neither the model nor the
    threshold has seen what is scored. A task that holds none out is returned unchanged. `report`
    receives the step, the inputs done and their number.
    """
    if not data.calibration or not isinstance(data.kind, QuestionAnswering):
        return data, {}
    _, answers = predict(
        model,
        tokenizer,
        data.kind,
        data.calibration,
        max_length=hyperparameters.max_length,
        batch_examples=hyperparameters.batch_examples,
        report=partial(report, "calibration"),
    )
    kind = data.kind.calibrated(data.calibration, answers)
    metrics = {"threshold": kind.threshold, "questions": len(answers)}
    return replace(data, kind=kind), metrics
