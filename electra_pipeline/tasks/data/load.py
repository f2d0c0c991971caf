"""Load a task's data: locate, read, check and split it, before any training."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import Any, TypeVar

import orjson

from electra_pipeline.tasks.data.checks import (
    WORD_METRICS,
    check_chunks,
    check_num_rows,
    count_unreachable,
    drop_misplaced,
    labels_of,
    listed_counts,
    metrics_of,
    warn_of_dropped,
    warn_of_overlap,
)
from electra_pipeline.tasks.data.context import LOGGER, QUIET, ReadContext
from electra_pipeline.tasks.data.examples import Example
from electra_pipeline.tasks.data.locate import Source, locate
from electra_pipeline.tasks.kinds.kind import TaskKind
from electra_pipeline.tasks.kinds.multiple_choice import MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering, QuestionExample
from electra_pipeline.tasks.kinds.tagging import Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification, Regression
from electra_pipeline.tasks.task import TRAIN, VALIDATION, Task

CALIBRATION = "calibration"

AnyExample = TypeVar("AnyExample", bound=Example)


@dataclass(frozen=True)
class TaskData:
    """Checked examples of a task: `train`, and one or more splits to score on."""

    kind: TaskKind[Any, Any]
    metrics: tuple[str, ...]
    train: Sequence[Any]
    scored: Mapping[str, Sequence[Any]]
    counters: Mapping[str, Any]
    digests: Mapping[str, str]
    """The sha256 of each split's examples, independent of their files."""
    unlabelled: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Examples to predict only: test splits whose labels are not public."""
    calibration: Sequence[Any] = ()
    """Held-out examples of train that calibrate the no-answer threshold (SQuAD 2.0)."""


def load(task: Task, data: str | None, *, quiet: bool = False) -> TaskData:
    """Read, check and split a task's data: its own files, else the folder `data`, else the Hub.

    The counters have the examples of each split, the dropped records by reason, what no model can
    get right in the scored splits, and the splits with fewer rows than published. `quiet` logs
    nothing, for data that was loaded before. Raises ValueError, with file and line, for missing or
    invalid data.
    """
    logger = QUIET if quiet else LOGGER
    sources = locate(task, data)
    reader = _Reader(task, logger)
    train_name = sources[TRAIN].name
    train = reader.read(TRAIN, sources[TRAIN])
    labels = labels_of(task, train, train_name, logger)
    metrics = metrics_of(task, labels, train, train_name)
    if task.type == "classification":  # other splits must not have other classes
        reader.task = task.model_copy(update={"labels": labels})
    scored = {
        split: reader.read(split, source)
        for split, source in sources.items()
        if source.labelled and split != TRAIN
    }
    for split, examples in scored.items():
        if task.type == "tagging" and metrics != WORD_METRICS:
            check_chunks(labels, examples, sources[split].name)
        if task.files:  # published overlaps are left alone: 28 % of CoNLL-2002's Spanish esp.testa
            warn_of_overlap(train, examples, sources[split].name, logger)
    unlabelled = _read_unlabelled(reader, sources, is_on_hub=not task.files and data is None)
    has_validation = VALIDATION in scored
    if not has_validation:
        train, validation = carve(train, task.validation_fraction)
        scored = {VALIDATION: validation, **scored}
    if not train or not scored[VALIDATION]:
        raise ValueError(
            f"{train_name}: all training examples are equal, so none of them can become the "
            "validation split; give a validation file"
        )
    train, calibration = _split_calibration(train, task.calibration_fraction)
    kind = _kind_of(reader.task, labels, train, train_name)
    splits = {TRAIN: train, **scored, **unlabelled}
    if calibration:
        splits[CALIBRATION] = calibration
    sizes = {split: len(examples) for split, examples in splits.items()}
    unreachable = {
        split: counts
        for split, examples in scored.items()
        if (counts := count_unreachable(examples, labels))
    }
    for split, counts in unreachable.items():
        reasons = listed_counts(counts)
        logger.warning("%s: %s has %s, which no model can get right", task.name, split, reasons)
    logger.info(
        "%s: %s%s",
        *(task.name, listed_counts(sizes)),
        "" if has_validation else " (no validation file: validation is a part of train)",
    )
    return TaskData(
        kind=kind,
        metrics=metrics,
        train=train,
        scored=scored,
        counters={
            "examples": sizes,
            "dropped": {split: dict(counts) for split, counts in reader.dropped.items() if counts},
            "unreachable": unreachable,
            "fewer_rows_than_published": reader.fewer_rows,
            "validation_from_train_fraction": 0.0 if has_validation else task.validation_fraction,
        },
        digests={split: digest(examples) for split, examples in splits.items()},
        unlabelled=unlabelled,
        calibration=calibration,
    )


@dataclass
class _Reader:
    """Read splits, and count by split the dropped records and the rows fewer than published."""

    task: Task
    logger: Logger
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    fewer_rows: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def read(self, split: str, source: Source) -> list[Example]:
        """Return the examples of one split. Raises ValueError if there are none."""
        task, where = self.task, source.name
        context = ReadContext(task, task.columns, source.labelled, self.logger)
        dropped = self.dropped[split] = context.dropped
        examples = list(source.read(context))
        if examples and (numbers := check_num_rows(task, split, len(examples), where, self.logger)):
            self.fewer_rows[split] = numbers
        if split == TRAIN:
            examples = drop_misplaced(examples, where, dropped, self.logger)
        if not examples:
            raise ValueError(
                f"{task.name}: {where}: no {split} example "
                f"({listed_counts(dropped) or 'it is empty'}); give another file"
            )
        warn_of_dropped(dropped, len(examples), split, where, self.logger)
        if task.max_examples is not None and len(examples) > task.max_examples:
            dropped["over_max_examples"] = len(examples) - task.max_examples
            examples = sample(examples, task.max_examples)
        return examples


def _read_unlabelled(
    reader: _Reader, sources: Mapping[str, Source], *, is_on_hub: bool
) -> dict[str, list[Example]]:
    """Return the splits whose labels are not public; one that the Hub cannot load is left out."""
    task, logger = reader.task, reader.logger
    splits = {}
    for split, source in sources.items():
        if source.labelled:
            continue
        if task.files:
            logger.warning(
                "%s: no labels in %s: it is predicted, not scored", task.name, source.name
            )
        try:
            splits[split] = reader.read(split, source)
        except ValueError as error:
            if not is_on_hub:
                raise
            logger.warning("%s: no predictions for %s: %s", task.name, split, error)
    return splits


def _split_calibration(
    train: list[Example], fraction: float
) -> tuple[list[Example], list[Example]]:
    """Return the training examples, and those held out to calibrate the no-answer threshold.

    None are held out unless both parts have questions with and without an answer.
    """
    if not _has_both_kinds(train):
        return train, []
    rest, held_out = carve(train, fraction, salt=CALIBRATION)
    return (rest, held_out) if _has_both_kinds(rest) and _has_both_kinds(held_out) else (train, [])


def _has_both_kinds(examples: Iterable[Example]) -> bool:
    """Return whether some questions have an answer and others have none."""
    return len({bool(e.answers) for e in examples if isinstance(e, QuestionExample)}) == 2


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def sample(examples: Sequence[AnyExample], num_examples: int) -> list[AnyExample]:
    """Return `num_examples` of the examples, chosen by content hash, in their order."""
    order = sorted(range(len(examples)), key=lambda i: _hash(orjson.dumps(examples[i])))
    return [examples[i] for i in sorted(order[:num_examples])]


def carve(
    examples: Sequence[AnyExample], fraction: float, salt: str = ""
) -> tuple[list[AnyExample], list[AnyExample]]:
    """Return train and held-out examples: about `fraction` of the contents, chosen by their hash.

    Another salt chooses others. Examples of equal content (for questions: of one context) stay
    together. Neither part is empty if there are two contents or more.
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
    """Return the hex sha256 of the examples in order."""
    hasher = hashlib.sha256()
    for example in examples:
        hasher.update(orjson.dumps(example) + b"\n")
    return hasher.hexdigest()


def _kind_of(
    task: Task, labels: tuple[str, ...], train: Sequence[Any], where: str
) -> TaskKind[Any, Any]:
    match task.type:
        case "classification":
            return Classification(labels, task.symmetric)
        case "regression":
            if len({example.label for example in train}) < 2:
                raise ValueError(
                    f"{where}: all training examples have the number {train[0].label}; "
                    "expected at least two different ones"
                )
            return Regression.of(train, task.symmetric)
        case "tagging":
            return Tagging(labels)
        case "question-answering":
            return QuestionAnswering(any(not example.answers for example in train))
        case "multiple-choice":
            return MultipleChoice()
