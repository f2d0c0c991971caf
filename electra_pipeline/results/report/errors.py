"""The error analysis page: confusion matrices, calibration, the worst examples of each task.

Everything is read from the trials' predictions. The page is bounded in the number of examples of
each task and the number of characters of each example.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.results.report.charts import draw_calibration, draw_scatter
from electra_pipeline.results.report.pages import environment
from electra_pipeline.results.statistics.agreement import (
    MAX_CLASSES,
    Calibration,
    Confusion,
    calibrate,
    confuse,
    probabilities,
)
from electra_pipeline.results.statistics.predictions_by_seed import (
    Predictions,
    grouped,
    side_by_side,
)
from electra_pipeline.storage.artifact import Artifact

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 20  # of each list
MAX_CHARACTERS = 400  # of each text
MAX_POINTS = 500  # of a scatter


@dataclass(frozen=True)
class Shown:
    """One example of the page, with shortened texts."""

    id: str
    text: str
    expected: str
    predicted: tuple[tuple[str, str], ...]
    """Distinct predictions, each with the seeds that made it."""
    num_wrong: int
    """Number of seeds whose prediction is wrong."""
    score: float
    """Mean over seeds."""


@dataclass(frozen=True)
class TaskErrors:
    """The section of one task and split."""

    predictions: Predictions
    right: int | None
    """Number of examples that every seed predicts correctly; None for regression."""
    wrong: int | None
    """Number of examples that every seed predicts wrongly."""
    confusion: Confusion | None
    calibration: Calibration | None
    charts: tuple[tuple[str, str], ...]
    """Caption and SVG."""
    worst: tuple[Shown, ...]
    num_candidates: int
    disagreements: tuple[Shown, ...]
    num_disagreements: int


def find(trials: Iterable[Artifact]) -> list[TaskErrors]:
    """Return the errors of each task and split for which the trials have predictions.

    A task whose predictions cannot be analyzed is logged as an error; the others are not affected.
    """
    found: list[TaskErrors] = []
    for group in grouped(trials):
        try:
            found += [examine(predictions) for predictions in side_by_side(group)]
        except Exception as error:  # of any kind: the other tasks are shown
            task = group[0].config["task"]
            logger.error("no error analysis of %s: %s", task, error)
    return found


def render(found: Sequence[TaskErrors], *, run_name: str, report: str) -> str:
    """Return the self-contained HTML page; `report` is the URL of the page that links to it."""
    template = environment().get_template("errors.html.jinja")
    return template.render(
        run_name=run_name,
        report=report,
        tasks=found,
        max_examples=MAX_EXAMPLES,
        max_characters=MAX_CHARACTERS,
        max_classes=MAX_CLASSES,
    )


def examine(predictions: Predictions) -> TaskErrors:
    """Analyze the predictions of one task and split."""
    is_number = predictions.type == "regression"
    is_wrong = predictions.scores < (0 if is_number else 1)
    num_wrong = is_wrong.sum(axis=0)
    order = rank(predictions, num_wrong)
    candidates = [index for index in order if num_wrong[index]]
    apart = _all_differ(predictions) if predictions.type == "question-answering" else []
    calibration = calibrate(predictions) if predictions.type == "classification" else None
    return TaskErrors(
        predictions=predictions,
        right=None if is_number else int((num_wrong == 0).sum()),
        wrong=None if is_number else int((num_wrong == len(predictions.seeds)).sum()),
        confusion=confuse(predictions),
        calibration=calibration,
        charts=tuple(_charts(predictions, calibration)),
        worst=tuple(show(predictions, index) for index in candidates[:MAX_EXAMPLES]),
        num_candidates=len(candidates),
        disagreements=tuple(show(predictions, index) for index in apart[:MAX_EXAMPLES]),
        num_disagreements=len(apart),
    )


def rank(predictions: Predictions, num_wrong: NDArray[Any]) -> list[int]:
    """Return indices, worst first: most seeds wrong, lowest score, least probable label."""
    belief = np.zeros(predictions.num_examples)
    for details in predictions.details:
        for index, (expected, detail) in enumerate(zip(predictions.expected, details, strict=True)):
            belief[index] += probabilities(detail).get(str(expected), 0.0)
    return [int(i) for i in np.lexsort((belief, predictions.scores.mean(axis=0), -num_wrong))]


def show(predictions: Predictions, index: int) -> Shown:
    """Return one example with the predictions of all seeds."""
    expected = predictions.expected[index]
    answers: dict[str, list[int]] = {}
    for number, predicted in enumerate(predictions.predicted):
        text = _prediction_text(predictions, index, predicted[index])
        answers.setdefault(text, []).append(number)
    wanted = expected if predictions.type == "question-answering" else []
    scores = predictions.scores[:, index]
    return Shown(
        id=excerpt(predictions.ids[index]),
        # a tab separates the texts of a pair, and question from context
        text=excerpt(predictions.inputs[index], [str(each) for each in wanted]).replace("\t", "\n"),
        expected=_expected_text(predictions, expected),
        predicted=tuple(
            (text, _seeds_text(predictions, index, numbers)) for text, numbers in answers.items()
        ),
        num_wrong=int((scores < 1).sum()),
        score=float(scores.mean()),
    )


def excerpt(text: str, wanted: Sequence[str] = ()) -> str:
    """Return at most `MAX_CHARACTERS`: the beginning and the surroundings of a wanted text.

    The answer to a question may be anywhere in its context.
    """
    if len(text) <= MAX_CHARACTERS:
        return text
    first = min((at for each in wanted if each and (at := text.find(each)) >= 0), default=0)
    half = MAX_CHARACTERS // 2
    if first < half:
        return f"{text[:MAX_CHARACTERS]} …"
    start = max(half, first - half // 2)
    return f"{text[:half]} … {text[start : start + half]}{' …' if start + half < len(text) else ''}"


def _prediction_text(predictions: Predictions, index: int, predicted: Any) -> str:
    """Return a short text of a prediction; of tags only the wrong ones."""
    match predictions.type:
        case "tagging":
            return excerpt(_wrong_tags(predictions, index, predicted)) or "all correct"
        case "regression":
            return f"{predicted:.4g}"
        case "question-answering":
            return excerpt(str(predicted)) or "(no answer)"
    return excerpt(str(predicted))


def _seeds_text(predictions: Predictions, index: int, numbers: Sequence[int]) -> str:
    """Return the seeds and their probabilities or margins: `seeds 0, 2: 81%, 77%`."""
    values = []
    for number in numbers:
        predicted, detail = predictions.predicted[number][index], predictions.details[number][index]
        probability = probabilities(detail).get(str(predicted))
        margin = detail.get("null_margin") if isinstance(detail, Mapping) else None
        if probability is not None:
            values.append(f"{probability:.0%}")
        elif margin is not None:
            values.append(f"{margin:+.1f}")
    seeds = ", ".join(str(predictions.seeds[number]) for number in numbers)
    text = f"seed{'s' if len(numbers) > 1 else ''} {seeds}"
    return f"{text}: {', '.join(values)}" if values else text


def _wrong_tags(predictions: Predictions, index: int, predicted: Sequence[str]) -> str:
    expected = predictions.expected[index]
    words = predictions.inputs[index].split()
    if len(words) != len(expected):  # a word may have a space in it
        words = [f"word {number}" for number in range(1, len(expected) + 1)]
    return ", ".join(
        f"{word}: {wrong} for {right}"
        for word, right, wrong in zip(words, expected, predicted, strict=True)
        if right != wrong
    )


def _expected_text(predictions: Predictions, expected: Any) -> str:
    match predictions.type:
        case "tagging":
            tags = [tag for tag in expected if tag != "O"]
            return excerpt(" ".join(tags) or "only O")
        case "question-answering":
            return excerpt(" | ".join(dict.fromkeys(map(str, expected))) or "(no answer)")
        case "regression":
            return f"{expected:.4g}"
    return excerpt(str(expected))


def _all_differ(predictions: Predictions) -> list[int]:
    """Return the indices of examples for which all seeds predict differently."""
    if len(predictions.seeds) < 2:
        return []
    return [
        index
        for index, answers in enumerate(zip(*predictions.predicted, strict=True))
        if len(set(map(str, answers))) == len(answers)
    ]


def _charts(predictions: Predictions, calibration: Calibration | None) -> Iterable[tuple[str, str]]:
    title = f"{predictions.task}, {predictions.split}"
    if predictions.type == "regression":
        medians = np.median(np.array(predictions.predicted, dtype=np.float64), axis=0)
        step = -(-predictions.num_examples // MAX_POINTS)
        expected = [float(value) for value in predictions.expected[::step]]
        caption = "Median of the seeds against the expected value; dashed: equality."
        if step > 1:
            caption += f" Every {step}th example is drawn."
        yield caption, draw_scatter(expected, medians[::step].tolist(), f"predicted, {title}")
    if calibration is not None:
        caption = (
            "Accuracy of the predicted class against its probability, over all seeds; dashed: "
            "perfect calibration. Larger dots have more examples. Expected calibration error "
            f"{calibration.error:.3f}."
        )
        yield caption, draw_calibration(calibration, f"calibration, {title}")
