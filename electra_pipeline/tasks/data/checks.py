"""Check a task's examples as a whole before training; derive its labels and metrics from them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from logging import Logger

from electra_pipeline.tasks.data.examples import Example
from electra_pipeline.tasks.data.squad import is_misplaced
from electra_pipeline.tasks.kinds.answer_texts import is_unspaced
from electra_pipeline.tasks.kinds.chunks import are_chunks, odd_tags, read_tag
from electra_pipeline.tasks.kinds.metrics import METRICS
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Task

MAX_OVERLAP = 0.1  # of a scored split: short texts are often in both splits
MAX_DROPPED = 0.01  # of a split's records
NUMBER_SPELLING = re.compile(r"^0+(?=\d)|(?<=\d)\.0+$")  # 1, 01 and 1.0 are the same number
FEW_VALUES = 10  # a plausible number of labels whatever the number of rows
WORD_METRICS = ("accuracy",)  # for tags that are not chunks, such as parts of speech


def check_num_rows(
    task: Task, split: str, num_rows: int, where: str, logger: Logger
) -> Mapping[str, int] | None:
    """Compare a split with its published number of rows; return None if equal or unpublished.

    Raises ValueError for more rows than any published version has: another dataset with the same
    name. Fewer may be a deliberate subset, or a broken download: logs a warning and returns both
    numbers, for the counters.
    """
    published = task.num_rows.get(split)
    if published is None or num_rows in published:
        return None
    expected = max(published)
    if num_rows > expected:
        raise ValueError(
            f"{where}: {num_rows} {split} examples, but the published {task.name} has {expected}; "
            "it is another dataset: download it again, or configure it as a task of your own"
        )
    logger.warning(
        "%s: %d %s examples, but the published %s has %d; its scores cannot be compared with "
        "published ones: download it again, unless it is a subset on purpose",
        *(where, num_rows, split, task.name, expected),
    )
    return {"published": expected, "found": num_rows}


def warn_of_dropped(
    counts: Mapping[str, int], num_kept: int, split: str, where: str, logger: Logger
) -> None:
    """Warn if more than one in a hundred records were dropped without the configuration's order."""
    counts = {reason: count for reason, count in counts.items() if reason != "other_label"}
    num_dropped = sum(counts.values())
    if num_dropped > MAX_DROPPED * (num_dropped + num_kept):
        logger.warning(
            "%s: %d of %d %s records were dropped (%s); repair them if they should count",
            *(where, num_dropped, num_dropped + num_kept, split, listed_counts(counts)),
        )


def listed_counts(counts: Mapping[str, int]) -> str:
    """Return e.g. `2 empty_text, 1 no_label`, without those that are 0."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def warn_of_overlap(
    train: Sequence[Example], scored: Sequence[Example], where: str, logger: Logger
) -> None:
    """Warn if many scored examples are in train too, as when both are the same file by mistake."""
    seen = {example.content for example in train}
    num_seen = sum(example.content in seen for example in scored)
    if num_seen > MAX_OVERLAP * len(scored):
        logger.warning(
            "%s: %d of its %d examples are in train as well; scores on them do not measure "
            "generalization",
            *(where, num_seen, len(scored)),
        )


def drop_misplaced(
    examples: list[Example], where: str, dropped: Counter[str], logger: Logger
) -> list[Example]:
    """Drop the questions whose answers are not in their context: there is no span to learn."""
    misplaced = [e for e in examples if isinstance(e, QuestionExample) and is_misplaced(e)]
    if not misplaced:
        return examples
    dropped["answer_not_in_context"] = len(misplaced)
    logger.warning(
        "%s: the answer %r to question %s is not in its context; %d such questions were dropped",
        *(where, misplaced[0].answers[0], misplaced[0].id, len(misplaced)),
    )
    identities = {id(example) for example in misplaced}
    return [example for example in examples if id(example) not in identities]


def count_unreachable(examples: Sequence[Example], labels: Sequence[str]) -> dict[str, int]:
    """Count what no model can get right in a scored split, by reason; it is scored all the same.

    `tags_not_in_train` counts words, `answers_not_in_context` questions.
    """
    allowed = set(labels)
    counts: Counter[str] = Counter()
    for example in examples:
        if isinstance(example, TaggedExample):
            counts["tags_not_in_train"] += sum(tag not in allowed for tag in example.tags)
        elif isinstance(example, QuestionExample) and example.answers:
            is_absent = not any(answer in example.context for answer in example.answers)
            counts["answers_not_in_context"] += is_absent
    return {reason: count for reason, count in counts.items() if count}


# --- labels ---------------------------------------------------------------------------------------


def labels_of(task: Task, train: Sequence[Example], where: str, logger: Logger) -> tuple[str, ...]:
    """Return the task's labels, else those of train, sorted; none for other kinds of task.

    Raises ValueError if train has only one, or if the label column cannot be one.
    """
    if task.type not in ("classification", "tagging"):
        return ()
    texts = [e for e in train if isinstance(e, TextExample) and e.label is not None]
    sentences = [example for example in train if isinstance(example, TaggedExample)]
    seen = {str(example.label) for example in texts}
    seen.update(chain.from_iterable(example.tags for example in sentences))
    labels = task.labels or tuple(sorted(seen))
    if len(seen) < 2:
        raise ValueError(
            f"{where}: all training examples have the label {next(iter(seen))!r}; "
            "expected at least two labels"
        )
    _warn_of_similar(labels, where, logger)
    if task.type == "classification":
        _check_num_classes(task, labels, texts, where)
    else:
        _check_num_tags(labels, sentences, where)
    return labels


def _warn_of_similar(labels: Sequence[str], where: str, logger: Logger) -> None:
    """Warn of labels that differ only in spelling, or that mean no label."""
    seen: dict[str, str] = {}
    for label in labels:
        folded = unicodedata.normalize("NFKC", label).casefold()
        visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
        key = NUMBER_SPELLING.sub("", " ".join(visible.split()))
        if (other := seen.setdefault(key, label)) != label:
            logger.warning(
                "%s: the labels %r and %r are different classes, though they look alike; make them "
                "equal in the files if they are meant to be one",
                *(where, other, label),
            )
    if "-1" in labels and {"0", "1", "2"} <= set(labels):
        logger.warning(
            "%s: one of the classes is -1, which `datasets` gives rows without a label; name the "
            "others in labels and set other_labels to drop to leave them out",
            where,
        )


def _check_num_classes(
    task: Task, labels: Sequence[str], train: Sequence[TextExample], where: str
) -> None:
    if len(labels) > max(FEW_VALUES, len(train) // 2):
        raise ValueError(
            f"{where}: column {task.columns.label!r} has {len(labels)} different labels in "
            f"{len(train)} rows; {_swapped(task, train)}name the right label_column, or use type "
            "regression for numbers"
        )


def _swapped(task: Task, train: Sequence[TextExample]) -> str:
    """Return a question about the text column that looks like a label column, or nothing."""
    columns = {"text_column": [example.text for example in train]}
    if task.columns.pair is not None:
        columns["pair_column"] = [example.pair or "" for example in train]
    for name, values in columns.items():
        num_values = len(set(values))
        if num_values <= min(FEW_VALUES, len(train) // 4):
            return f"the {name} has {num_values}: are the two swapped? "
    return ""


def _check_num_tags(labels: Sequence[str], train: Sequence[TaggedExample], where: str) -> None:
    num_words = len(set(chain.from_iterable(example.words for example in train)))
    if len(labels) > max(FEW_VALUES, num_words):
        raise ValueError(
            f"{where}: {len(labels)} different tags on {num_words} different words; the columns "
            "look swapped: set text_column and label_column"
        )


def check_chunks(labels: Sequence[str], examples: Sequence[Example], where: str) -> None:
    """Raise ValueError for a scored tag that is not a chunk tag although those of train are."""
    if not are_chunks(labels):
        return
    (notation,) = {read.notation for label in labels if (read := read_tag(label)) is not None}
    outsides = [label for label in labels if read_tag(label) is None]
    for example in examples:
        for tag in example.tags if isinstance(example, TaggedExample) else ():
            read = read_tag(tag)
            if read.notation != notation if read else tag not in (outsides or ["O"]):
                raise ValueError(
                    f"{where}: sentence {example.id}: invalid tag {tag!r}: expected a chunk tag as "
                    f"in train ({_first_tags(labels)}); repair it, or set metrics to [accuracy]"
                )


# --- metrics --------------------------------------------------------------------------------------


def metrics_of(
    task: Task, labels: Sequence[str], train: Sequence[Example], where: str
) -> tuple[str, ...]:
    """Return the configured metrics, else those that suit the labels and the script of train.

    Raises ValueError for a metric that cannot be computed on the task's data.
    """
    match task.type:
        case "classification":
            metrics = task.metrics or ("accuracy", "macro_f1")
            if "f1" in metrics and len(labels) != 2:
                raise ValueError(
                    f"{task.name}: the metric f1 needs two labels, {where} has {len(labels)}; use "
                    "macro_f1"
                )
            return metrics
        case "tagging":
            return _tagging_metrics(task, labels, where)
        case "question-answering":
            answers = (e.answers for e in train if isinstance(e, QuestionExample))
            text = "".join(answer for each in answers for answer in each)
            f1 = "character_f1" if is_unspaced(text) else "f1"
            return task.metrics or ("exact_match", f1)
        case _:
            return task.metrics or tuple(METRICS[task.type])


def _tagging_metrics(task: Task, labels: Sequence[str], where: str) -> tuple[str, ...]:
    if are_chunks(labels):
        return task.metrics or tuple(METRICS["tagging"])
    if task.metrics == WORD_METRICS:
        return task.metrics
    if odd := odd_tags(labels):
        raise ValueError(
            f"{where}: the tags {_first_tags(odd)} are neither O nor B-, I-, E- or S- and a type "
            "in one notation; repair them, or set metrics to [accuracy]"
        )
    if wrong := [metric for metric in task.metrics or () if metric not in WORD_METRICS]:
        raise ValueError(
            f"{task.name}: the metrics {', '.join(wrong)} need chunk tags like B-PER and O; "
            f"the tags {_first_tags(labels)} of {where} are not: set metrics to [accuracy], or "
            "repair the tags"
        )
    return WORD_METRICS


def _first_tags(tags: Sequence[str]) -> str:
    return ", ".join(map(repr, tags[:5]))
