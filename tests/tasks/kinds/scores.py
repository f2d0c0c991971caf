"""The metrics of each kind of task, from plain lists in place of examples and predictions."""

from electra_pipeline.tasks.kinds.metrics import statistic


def _scores(kind, rows, names):
    return {name: statistic(kind, name, rows).observed() for name in names}


def _pairs(expected, predicted):
    return [{"expected": e, "prediction": p} for e, p in zip(expected, predicted, strict=True)]


def classification_scores(expected, predicted, names):
    """Of class indexes; `f1` is of two classes."""
    detail = {"probabilities": {0: 0.5, 1: 0.5}}
    rows = [row | {"detail": detail} for row in _pairs(expected, predicted)]
    return _scores("classification", rows, names)


def regression_scores(expected, predicted, names):
    return _scores("regression", _pairs(expected, predicted), names)


def tagging_scores(expected, predicted, names):
    return _scores("tagging", _pairs(expected, predicted), names)


def question_scores(expected, answers, null_margins, names):
    """Of accepted answers, the model's answers, and their null margins."""
    rows = [
        {
            "expected": accepted,
            "prediction": "" if margin > 0 else answer,
            "detail": {"answer": answer, "null_margin": margin},
        }
        for accepted, answer, margin in zip(expected, answers, null_margins, strict=True)
    ]
    return _scores("question-answering", rows, names)
