"""Where a model errs: what is confused with what, how sure it is, the examples to look at first.

Everything is read from the trials' predictions. A page is bounded: a number of examples of each
task, a number of characters of each example.
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
    """One example as the page has it: texts are cut."""

    id: str
    text: str
    expected: str
    said: tuple[tuple[str, str], ...]
    """What was said, and by which seeds."""
    num_wrong: int
    """Seeds that do not have it right."""
    score: float
    """Mean over seeds."""


@dataclass(frozen=True)
class TaskErrors:
    """What the page has of one task and split."""

    task: str
    type: str
    split: str
    seeds: tuple[int, ...]
    num_examples: int
    right: int | None
    """Examples that every seed has right; None where scores are no right or wrong."""
    wrong: int | None
    """Examples that every seed has wrong."""
    confusion: Confusion | None
    calibration: Calibration | None
    charts: tuple[tuple[str, str], ...]
    """Caption and SVG."""
    worst: tuple[Shown, ...]
    num_candidates: int
    disagreements: tuple[Shown, ...]
    num_disagreements: int


def find(trials: Iterable[Artifact]) -> list[TaskErrors]:
    """The errors of each task and split that the trials kept predictions of.

    A task whose predictions cannot be examined is logged as an error and loses only its own.
    """
    found: list[TaskErrors] = []
    for group in grouped(trials):
        try:
            found += [examine(predictions) for predictions in side_by_side(group)]
        except Exception as error:  # whatever it is, the other tasks are shown
            task = group[0].config["task"]
            logger.error("no page about the errors of %s: %s", task, error)
    return found


def render(found: Sequence[TaskErrors], *, run_name: str, report: str) -> str:
    """The page as HTML that needs nothing else; `report` is the page that it is linked from."""
    return (
        environment()
        .get_template("errors.html.jinja")
        .render(
            run_name=run_name,
            report=report,
            tasks=found,
            max_examples=MAX_EXAMPLES,
            max_characters=MAX_CHARACTERS,
            max_classes=MAX_CLASSES,
        )
    )


def examine(predictions: Predictions) -> TaskErrors:
    """What there is to see in the predictions of one task and split."""
    is_number = predictions.type == "regression"
    is_wrong = predictions.scores < (0 if is_number else 1)
    num_wrong = is_wrong.sum(axis=0)
    order = rank(predictions, num_wrong)
    candidates = [index for index in order if num_wrong[index]]
    apart = _all_differ(predictions) if predictions.type == "question-answering" else []
    calibration = calibrate(predictions) if predictions.type == "classification" else None
    return TaskErrors(
        task=predictions.task,
        type=predictions.type,
        split=predictions.split,
        seeds=predictions.seeds,
        num_examples=predictions.num_examples,
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
    """Examples from the worst: wrong in most seeds, lowest score, surest of something else."""
    belief = np.zeros(predictions.num_examples)
    for details in predictions.details:
        for index, (expected, detail) in enumerate(zip(predictions.expected, details, strict=True)):
            belief[index] += probabilities(detail).get(str(expected), 0.0)
    return [int(i) for i in np.lexsort((belief, predictions.scores.mean(axis=0), -num_wrong))]


def show(predictions: Predictions, index: int) -> Shown:
    """One example with what the seeds said of it."""
    expected = predictions.expected[index]
    answers: dict[str, list[int]] = {}
    for number, said in enumerate(predictions.said):
        answers.setdefault(_said_text(predictions, index, said[index]), []).append(number)
    wanted = expected if predictions.type == "question-answering" else []
    scores = predictions.scores[:, index]
    return Shown(
        id=excerpt(predictions.ids[index]),
        # a tab parts the two texts of a pair, and a question from its context
        text=excerpt(predictions.inputs[index], [str(each) for each in wanted]).replace("\t", "\n"),
        expected=_expected_text(predictions, expected),
        said=tuple(
            (text, _seeds_text(predictions, index, numbers)) for text, numbers in answers.items()
        ),
        num_wrong=int((scores < 1).sum()),
        score=float(scores.mean()),
    )


def excerpt(text: str, wanted: Sequence[str] = ()) -> str:
    """At most `MAX_CHARACTERS` of a text: its beginning and, further on, the place of a wanted one.

    A question's answer lies anywhere in its context.
    """
    if len(text) <= MAX_CHARACTERS:
        return text
    places = [place for each in wanted if each and (place := text.find(each)) >= 0]
    half = MAX_CHARACTERS // 2
    if not places or min(places) < half:
        return f"{text[:MAX_CHARACTERS]} …"
    start = max(half, min(places) - half // 2)
    return f"{text[:half]} … {text[start : start + half]}{' …' if start + half < len(text) else ''}"


def _said_text(predictions: Predictions, index: int, said: Any) -> str:
    """What a seed said, in short: of tags those that are wrong."""
    match predictions.type:
        case "tagging":
            return excerpt(_wrong_tags(predictions, index, said)) or "all right"
        case "regression":
            return f"{said:.4g}"
        case "question-answering":
            return excerpt(str(said)) or "(no answer)"
    return excerpt(str(said))


def _seeds_text(predictions: Predictions, index: int, numbers: Sequence[int]) -> str:
    """`seeds 0, 2: 81%, 77%`: who said it, and how sure each was."""
    facts = []
    for number in numbers:
        said, detail = predictions.said[number][index], predictions.details[number][index]
        probability = probabilities(detail).get(str(said))
        margin = detail.get("null_margin") if isinstance(detail, Mapping) else None
        if probability is not None:
            facts.append(f"{probability:.0%}")
        elif margin is not None:
            facts.append(f"{margin:+.1f}")
    seeds = ", ".join(str(predictions.seeds[number]) for number in numbers)
    text = f"seed{'s' if len(numbers) > 1 else ''} {seeds}"
    return f"{text}: {', '.join(facts)}" if facts else text


def _wrong_tags(predictions: Predictions, index: int, said: Sequence[str]) -> str:
    expected = predictions.expected[index]
    words = predictions.inputs[index].split()
    if len(words) != len(expected):  # a word may have a space in it
        words = [f"word {number}" for number in range(1, len(expected) + 1)]
    return ", ".join(
        f"{word}: {wrong} for {right}"
        for word, right, wrong in zip(words, expected, said, strict=True)
        if right != wrong
    )


def _expected_text(predictions: Predictions, expected: Any) -> str:
    match predictions.type:
        case "tagging":
            tags = [tag for tag in expected if tag != "O"]
            return excerpt(" ".join(tags) or "O alone")
        case "question-answering":
            return excerpt(" | ".join(dict.fromkeys(map(str, expected))) or "(no answer)")
        case "regression":
            return f"{expected:.4g}"
    return excerpt(str(expected))


def _all_differ(predictions: Predictions) -> list[int]:
    """Examples of which no two seeds say the same."""
    if len(predictions.seeds) < 2:
        return []
    return [
        index
        for index, answers in enumerate(zip(*predictions.said, strict=True))
        if len(set(map(str, answers))) == len(answers)
    ]


def _charts(predictions: Predictions, calibration: Calibration | None) -> Iterable[tuple[str, str]]:
    place = f"{predictions.task}, {predictions.split}"
    if predictions.type == "regression":
        medians = np.median(np.array(predictions.said, dtype=np.float64), axis=0)
        step = -(-predictions.num_examples // MAX_POINTS)
        expected = [float(value) for value in predictions.expected[::step]]
        caption = "Median of the seeds against the expected number; the dashed line is equality."
        if step > 1:
            caption += f" One example in {step} is drawn."
        yield caption, draw_scatter(expected, medians[::step].tolist(), f"predicted, {place}")
    if calibration is not None:
        caption = (
            "How often classes were right against the probability that the model gave them, all "
            "seeds together; on the dashed line it knows how sure to be. Larger dots have more "
            f"examples. Expected calibration error {calibration.error:.3f}."
        )
        svg = draw_calibration(
            calibration.confidence,
            calibration.accuracy,
            calibration.counts,
            f"calibration, {place}",
        )
        yield caption, svg
