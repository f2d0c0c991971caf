"""A task's data, checked and split: all that can be wrong with it is said before training."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from electra_pipeline.evaluation.problems.metrics import CHUNK_TAG, OUTSIDE
from electra_pipeline.evaluation.problems.problem import Problem
from electra_pipeline.evaluation.problems.questions import QuestionAnswering, QuestionExample
from electra_pipeline.evaluation.problems.tagging import TaggedExample, Tagging
from electra_pipeline.evaluation.problems.texts import Classification, Regression, TextExample
from electra_pipeline.evaluation.tasks.locate import Source, locate
from electra_pipeline.evaluation.tasks.reading import Example, is_misplaced
from electra_pipeline.evaluation.tasks.task import TRAIN, VALIDATION, Task

logger = logging.getLogger(__name__)

AnyExample = TypeVar("AnyExample", TextExample, TaggedExample, QuestionExample, Example)


@dataclass(frozen=True)
class TaskData:
    """Checked examples of a task: `train`, and one or more splits to score on."""

    problem: Problem[Any, Any]
    metrics: tuple[str, ...]
    train: Sequence[Any]
    scored: Mapping[str, Sequence[Any]]
    counters: Mapping[str, Any]
    unlabelled: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Examples to predict and not to score: published test splits whose labels are kept back."""

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of each split's examples: what training and scoring see, wherever it came from."""
        return {TRAIN: digest(self.train)} | {
            split: digest(examples) for split, examples in self.scored.items()
        }


def load(task: Task, data: str | None) -> TaskData:
    """Read, check and split a task's data: its own files, else the folder `data`, else the Hub.

    Raises ValueError, naming file and line, if something is missing or wrong.
    """
    sources = locate(task, data)
    dropped: dict[str, Counter[str]] = {}
    train = _read(task, TRAIN, sources[TRAIN], dropped)
    labels = _labels(task, train, sources[TRAIN].place)
    if task.type == "classification":  # other splits may hold no other class
        task = task.model_copy(update={"labels": labels})
    scored = {
        split: _read(task, split, source, dropped)
        for split, source in sources.items()
        if split != TRAIN
    }
    carved = VALIDATION not in scored
    if carved:
        train, validation = carve(train, task.validation_fraction)
        scored = {VALIDATION: validation, **scored}
    if not train or not scored[VALIDATION]:
        raise ValueError(
            f"{sources[TRAIN].place}: all training examples are alike, so that no part of them can "
            "become the validation split; give a validation file"
        )
    sizes = {TRAIN: len(train)} | {split: len(examples) for split, examples in scored.items()}
    logger.info(
        "%s: %s%s",
        task.name,
        ", ".join(f"{size} {split}" for split, size in sizes.items()),
        " (validation is a part of train: there is no such file)" if carved else "",
    )
    return TaskData(
        problem=_problem(task, labels, train, sources[TRAIN].place),
        metrics=_metrics(task, labels),
        train=train,
        scored=scored,
        counters={
            "examples": sizes,
            "dropped": {split: dict(counts) for split, counts in dropped.items() if counts},
            "validation_from_train_fraction": task.validation_fraction if carved else 0.0,
        },
    )


def _read(
    task: Task, split: str, source: Source, dropped: dict[str, Counter[str]]
) -> list[Example]:
    """The examples of one split, at least one."""
    counts = dropped.setdefault(split, Counter())
    examples = list(source.read(task, counts))
    if split == TRAIN:
        examples = _without_misplaced(examples, source.place, counts)
    if not examples:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "it is empty"
        )
        raise ValueError(
            f"{task.name}: {source.place}: no {split} example ({reasons}); give another file"
        )
    if task.max_examples is not None and len(examples) > task.max_examples:
        counts["over_max_examples"] = len(examples) - task.max_examples
        examples = sample(examples, task.max_examples)
    return examples


def _without_misplaced(examples: list[Example], place: str, counts: Counter[str]) -> list[Example]:
    """Without the questions whose answer is not where they say: they would teach a wrong span."""
    wrong = [e for e in examples if isinstance(e, QuestionExample) and is_misplaced(e)]
    if not wrong:
        return examples
    counts["answer_not_at_start"] = len(wrong)
    logger.warning(
        "%s: the context of question %s does not have the answer %r at answer_start %d; "
        "%d such questions are dropped",
        *(place, wrong[0].id, wrong[0].answers[0], wrong[0].start, len(wrong)),
    )
    refused = {id(example) for example in wrong}
    return [example for example in examples if id(example) not in refused]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def sample(examples: Sequence[AnyExample], num_examples: int) -> list[AnyExample]:
    """`num_examples` of the examples, chosen by content hash, in their order."""
    order = sorted(range(len(examples)), key=lambda i: _hash(orjson.dumps(examples[i])))
    return [examples[i] for i in sorted(order[:num_examples])]


def carve(
    examples: Sequence[AnyExample], fraction: float
) -> tuple[list[AnyExample], list[AnyExample]]:
    """Train and validation examples: about `fraction` of the contents, chosen by their hash.

    Examples of equal content (for questions: of one context) stay on one side. Neither side is
    empty if there are two contents or more.
    """
    hashes = {content: _hash(content.encode()) for content in {e.content for e in examples}}
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


def _labels(task: Task, train: Sequence[Example], place: str) -> tuple[str, ...]:
    """The task's labels, else those of the training examples, sorted. None for other kinds."""
    seen: set[str] = set()
    for example in train:
        if isinstance(example, TextExample):
            seen.add(example.label)
        elif isinstance(example, TaggedExample):
            seen.update(example.tags)
    if task.type not in ("classification", "tagging"):
        return ()
    labels = task.labels or tuple(sorted(seen))
    if len(seen) < 2:
        raise ValueError(
            f"{place}: all training examples have the label {next(iter(seen))!r}; "
            "at least two are needed to learn anything"
        )
    if task.type == "classification":
        _check_classes(task, labels, len(train), place)
    else:
        _check_tags(labels, place)
    return labels


def _check_classes(task: Task, labels: Sequence[str], num_train: int, place: str) -> None:
    if len(labels) > max(10, num_train // 2):
        raise ValueError(
            f"{place}: column {task.columns.label!r} has {len(labels)} different labels in "
            f"{num_train} rows; name the right label_column, or use type regression for numbers"
        )
    if "f1" in task.metrics and len(labels) != 2:
        raise ValueError(
            f"{task.name}: the metric f1 is for two labels, {place} has {len(labels)}; use macro_f1"
        )


def _check_tags(labels: Sequence[str], place: str) -> None:
    """Tags are all chunk tags (B-, I-, E-, S- and a type, or O), or none of them is."""
    kinds = [bool(CHUNK_TAG.fullmatch(label)) for label in labels if label != OUTSIDE]
    if any(kinds) and not all(kinds):
        odd = [tag for tag in labels if tag != OUTSIDE and not CHUNK_TAG.fullmatch(tag)]
        raise ValueError(
            f"{place}: the tags {', '.join(map(repr, odd[:5]))} are neither {OUTSIDE} nor B-, I-, "
            "E- or S- and a type, as the others are; repair them"
        )


def _metrics(task: Task, labels: Sequence[str]) -> tuple[str, ...]:
    """The task's metrics; tags without chunks, such as parts of speech, have accuracy alone."""
    if task.type == "tagging" and not any(CHUNK_TAG.fullmatch(label) for label in labels):
        return ("accuracy",)
    return task.metrics


def _problem(
    task: Task, labels: tuple[str, ...], train: Sequence[Any], place: str
) -> Problem[Any, Any]:
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
