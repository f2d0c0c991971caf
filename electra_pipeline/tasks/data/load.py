"""A task's data, checked and split: all that can be wrong with it is said before training."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from electra_pipeline.tasks.data.checks import (
    check_num_rows,
    labels_of,
    unreachable,
    warn_of_losses,
    warn_of_overlap,
    without_misplaced,
)
from electra_pipeline.tasks.data.fitting import OF_WORDS, check_chunks, metrics_of
from electra_pipeline.tasks.data.locate import Source, locate, locate_unlabelled
from electra_pipeline.tasks.data.records import Example
from electra_pipeline.tasks.kinds.kind import TaskKind
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample, MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering, QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification, Regression, TextExample
from electra_pipeline.tasks.task import TRAIN, VALIDATION, Task

logger = logging.getLogger(__name__)

CALIBRATION = "calibration"

AnyExample = TypeVar(
    "AnyExample", TextExample, TaggedExample, QuestionExample, ChoiceExample, Example
)


@dataclass(frozen=True)
class TaskData:
    """Checked examples of a task: `train`, and one or more splits to score on."""

    kind: TaskKind[Any, Any]
    metrics: tuple[str, ...]
    train: Sequence[Any]
    scored: Mapping[str, Sequence[Any]]
    counters: Mapping[str, Any]
    unlabelled: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Examples to predict and not to score: published test splits whose labels are kept back."""
    calibration: Sequence[Any] = ()
    """Examples of train that are not trained on: they choose when to answer nothing (SQuAD 2.0)."""

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of each split's examples: what training and scoring see, wherever it came from."""
        splits = {TRAIN: self.train, **self.scored, **self.unlabelled}
        if self.calibration:
            splits[CALIBRATION] = self.calibration
        return {split: digest(examples) for split, examples in splits.items()}


def load(task: Task, data: str | None) -> TaskData:
    """Read, check and split a task's data: its own files, else the folder `data`, else the Hub.

    Raises ValueError, naming file and line, if something is missing or wrong. The counters have the
    examples of each split, those that were dropped by reason, what of the scored splits no model
    can get right, and the splits of which fewer rows were found than are published.
    """
    sources = locate(task, data)
    dropped: dict[str, Counter[str]] = {}
    num_rows: dict[str, Mapping[str, int]] = {}
    train = _read(task, TRAIN, sources[TRAIN], dropped, num_rows)
    labels = labels_of(task, train, sources[TRAIN].place)
    metrics = metrics_of(task, labels, train, sources[TRAIN].place)
    if task.type == "classification":  # other splits may hold no other class
        task = task.model_copy(update={"labels": labels})
    scored = {
        split: _read(task, split, source, dropped, num_rows)
        for split, source in sources.items()
        if split != TRAIN
    }
    if task.type == "tagging" and metrics != OF_WORDS:
        for split, examples in scored.items():
            check_chunks(labels, examples, sources[split].place)
    if task.files:  # what is published is as it is: 28 % of CoNLL-2002's Spanish esp.testa
        for split, examples in scored.items():
            warn_of_overlap(train, examples, sources[split].place)
    unlabelled = _read_unlabelled(task, data, dropped, num_rows)
    carved = VALIDATION not in scored
    if carved:
        train, validation = carve(train, task.validation_fraction)
        scored = {VALIDATION: validation, **scored}
    if not train or not scored[VALIDATION]:
        raise ValueError(
            f"{sources[TRAIN].place}: all training examples are alike, so that no part of them can "
            "become the validation split; give a validation file"
        )
    train, calibration = _calibration(train, task.calibration_fraction)
    splits = {TRAIN: train, **scored, **unlabelled}
    if calibration:
        splits[CALIBRATION] = calibration
    sizes = {split: len(examples) for split, examples in splits.items()}
    impossible = {split: unreachable(examples, labels) for split, examples in scored.items()}
    for split, counts in impossible.items():
        if counts:
            told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
            logger.warning("%s: %s has %s, which no training can reach", task.name, split, told)
    logger.info(
        "%s: %s%s",
        task.name,
        ", ".join(f"{size} {split}" for split, size in sizes.items()),
        " (validation is a part of train: there is no such file)" if carved else "",
    )
    return TaskData(
        kind=_kind_of(task, labels, train, sources[TRAIN].place),
        metrics=metrics,
        train=train,
        scored=scored,
        counters={
            "examples": sizes,
            "dropped": {split: dict(counts) for split, counts in dropped.items() if counts},
            "unreachable": {split: counts for split, counts in impossible.items() if counts},
            "fewer_rows_than_published": num_rows,
            "validation_from_train_fraction": task.validation_fraction if carved else 0.0,
        },
        unlabelled=unlabelled,
        calibration=calibration,
    )


def _read(
    task: Task,
    split: str,
    source: Source,
    dropped: dict[str, Counter[str]],
    num_rows: dict[str, Mapping[str, int]],
) -> list[Example]:
    """The examples of one split, at least one."""
    counts = dropped.setdefault(split, Counter())
    examples = list(source.read(task, counts))
    if examples and (difference := check_num_rows(task, split, len(examples), source.place)):
        num_rows[split] = difference
    if split == TRAIN:
        examples = without_misplaced(examples, source.place, counts)
    if not examples:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "it is empty"
        )
        raise ValueError(
            f"{task.name}: {source.place}: no {split} example ({reasons}); give another file"
        )
    warn_of_losses(counts, len(examples), split, source.place)
    if task.max_examples is not None and len(examples) > task.max_examples:
        counts["over_max_examples"] = len(examples) - task.max_examples
        examples = sample(examples, task.max_examples)
    return examples


def _read_unlabelled(
    task: Task,
    data: str | None,
    dropped: dict[str, Counter[str]],
    num_rows: dict[str, Mapping[str, int]],
) -> dict[str, list[Example]]:
    """The splits whose labels are kept back. What the Hub does not give is done without."""
    found = {}
    for split, source in locate_unlabelled(task, data).items():
        if task.files:
            logger.warning(
                "%s: no labels in %s: it is predicted, not scored", task.name, source.place
            )
        try:
            found[split] = _read(task, split, source, dropped, num_rows)
        except ValueError as error:
            if data is not None or task.files:
                raise
            logger.warning("%s: nothing will be predicted of %s: %s", task.name, split, error)
    return found


def _calibration(train: list[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Training examples without, and with, the questions that choose when to answer nothing.

    There are none unless both parts have questions with and without an answer.
    """
    if not _has_both_kinds(train):
        return train, []
    rest, held_out = carve(train, fraction, salt=CALIBRATION)
    return (rest, held_out) if _has_both_kinds(rest) and _has_both_kinds(held_out) else (train, [])


def _has_both_kinds(examples: Iterable[Example]) -> bool:
    """Whether some questions have an answer and others have none."""
    return len({bool(e.answers) for e in examples if isinstance(e, QuestionExample)}) == 2


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def sample(examples: Sequence[AnyExample], num_examples: int) -> list[AnyExample]:
    """`num_examples` of the examples, chosen by content hash, in their order."""
    order = sorted(range(len(examples)), key=lambda i: _hash(orjson.dumps(examples[i])))
    return [examples[i] for i in sorted(order[:num_examples])]


def carve(
    examples: Sequence[AnyExample], fraction: float, salt: str = ""
) -> tuple[list[AnyExample], list[AnyExample]]:
    """Train and validation examples: about `fraction` of the contents, chosen by their hash.

    Another salt chooses others.

    Examples of equal content (for questions: of one context) stay on one side. Neither side is
    empty if there are two contents or more.
    """
    contents = {example.content for example in examples}
    hashes = {content: _hash(f"{salt}{content}".encode()) for content in contents}
    held_out = {content for content, value in hashes.items() if value < fraction * 2**64}
    if not held_out and len(hashes) > 1:
        held_out = {min(hashes, key=lambda content: hashes[content])}
    if len(held_out) == len(hashes) > 1:
        held_out.discard(max(hashes, key=lambda content: hashes[content]))
    return (
        [example for example in examples if example.content not in held_out],
        [example for example in examples if example.content in held_out],
    )


def digest(examples: Iterable[Example]) -> str:
    """Hex sha256 over the examples in order."""
    hasher = hashlib.sha256()
    for example in examples:
        hasher.update(orjson.dumps(example) + b"\n")
    return hasher.hexdigest()


def _kind_of(
    task: Task, labels: tuple[str, ...], train: Sequence[Any], place: str
) -> TaskKind[Any, Any]:
    match task.type:
        case "classification":
            return Classification(labels, task.symmetric)
        case "regression":
            if len({example.label for example in train}) < 2:
                raise ValueError(
                    f"{place}: all training examples have the number {train[0].label}; "
                    "at least two are needed to learn anything"
                )
            return Regression.of(train, task.symmetric)
        case "tagging":
            return Tagging(labels)
        case "question-answering":
            return QuestionAnswering(any(not example.answers for example in train))
        case "multiple-choice":
            return MultipleChoice()
