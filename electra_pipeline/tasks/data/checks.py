"""What can be wrong with a task's examples as a whole, told or counted before training."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from electra_pipeline.tasks.data.records import Example
from electra_pipeline.tasks.data.squad import is_misplaced
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Task

logger = logging.getLogger(__name__)

WARN_OVERLAP = 0.1  # of a scored split: short texts come twice in any data
WARN_SHARE = 0.01  # of a split's records
NUMBER_SPELLING = re.compile(r"^0+(?=\d)|(?<=\d)\.0+$")  # 1, 01 and 1.0 are one number
FEW_VALUES = 10  # so many different labels are plausible whatever the number of rows


def check_num_rows(task: Task, split: str, num_found: int, place: str) -> Mapping[str, int] | None:
    """Compare a split with its published number of rows; None where it is that, or none is known.

    More rows than any published version has are another data set under the same name: ValueError.
    Fewer are taken for a subset made on purpose: a warning, and what was expected and found, for
    the counters, so that a broken download is noticed and a subset can be used.
    """
    published = task.num_rows.get(split)
    if published is None or num_found in published:
        return None
    expected = max(published)
    if num_found > expected:
        raise ValueError(
            f"{place}: {num_found} {split} examples where the published {task.name} has {expected};"
            " it is another data set: download it again, or give it as a task of your own"
        )
    logger.warning(
        "%s: %d %s examples where the published %s has %d; its scores compare with no published "
        "ones unless this is a subset made on purpose: otherwise download it again",
        *(place, num_found, split, task.name, expected),
    )
    return {"published": expected, "found": num_found}


def warn_of_losses(counts: Mapping[str, int], num_kept: int, split: str, place: str) -> None:
    """Warn of records that are left out, by reason, where they are more than one in a hundred.

    Those that the configuration asks to drop are no loss.
    """
    lost = {reason: count for reason, count in counts.items() if reason != "other_label"}
    num_lost = sum(lost.values())
    if num_lost > WARN_SHARE * (num_lost + num_kept):
        reasons = ", ".join(f"{count} {reason}" for reason, count in lost.items() if count)
        logger.warning(
            "%s: %d of %d %s records are left out (%s); repair them if they should count",
            *(place, num_lost, num_lost + num_kept, split, reasons),
        )


def warn_of_overlap(train: Sequence[Example], scored: Sequence[Example], place: str) -> None:
    """Warn where models are scored on what they are trained on: the same file by mistake."""
    seen = {example.content for example in train}
    num_seen = sum(example.content in seen for example in scored)
    if num_seen > WARN_OVERLAP * len(scored):
        logger.warning(
            "%s: %d of its %d examples are in train as well; scores on them say little of new ones",
            *(place, num_seen, len(scored)),
        )


def without_misplaced(examples: list[Example], place: str, counts: Counter[str]) -> list[Example]:
    """Without the questions none of whose answers is in the context: they have no span to teach."""
    wrong = [e for e in examples if isinstance(e, QuestionExample) and is_misplaced(e)]
    if not wrong:
        return examples
    counts["answer_not_in_context"] = len(wrong)
    logger.warning(
        "%s: the context of question %s does not have the answer %r; %d such questions are dropped",
        *(place, wrong[0].id, wrong[0].answers[0], len(wrong)),
    )
    refused = {id(example) for example in wrong}
    return [example for example in examples if id(example) not in refused]


def unreachable(examples: Sequence[Example], labels: Sequence[str]) -> dict[str, int]:
    """How much of a scored split no model can get right, by reason; it is scored all the same.

    `tags_not_in_train` counts words, `answers_not_in_context` questions none of whose answers is a
    part of their context.
    """
    known = set(labels)
    found: Counter[str] = Counter()
    for example in examples:
        if isinstance(example, TaggedExample):
            found["tags_not_in_train"] += sum(tag not in known for tag in example.tags)
        elif isinstance(example, QuestionExample) and example.answers:
            is_absent = not any(answer in example.context for answer in example.answers)
            found["answers_not_in_context"] += is_absent
    return {reason: count for reason, count in found.items() if count}


def labels_of(task: Task, train: Sequence[Example], place: str) -> tuple[str, ...]:
    """The task's labels, else those of the training examples, sorted. None for other kinds.

    Raises ValueError if there is but one, or if the column of labels cannot be one.
    """
    if task.type not in ("classification", "tagging"):
        return ()
    seen: set[str] = set()
    for example in train:
        if isinstance(example, TextExample) and example.label is not None:
            seen.add(example.label)
        elif isinstance(example, TaggedExample):
            seen.update(example.tags)
    labels = task.labels or tuple(sorted(seen))
    if len(seen) < 2:
        raise ValueError(
            f"{place}: all training examples have the label {next(iter(seen))!r}; "
            "at least two are needed to learn anything"
        )
    _warn_of_twins(labels, place)
    if task.type == "classification":
        texts = [example for example in train if isinstance(example, TextExample)]
        _check_classes(task, labels, texts, place)
    else:
        sentences = [example for example in train if isinstance(example, TaggedExample)]
        _check_tags(labels, sentences, place)
    return labels


def _warn_of_twins(labels: Sequence[str], place: str) -> None:
    """Warn of labels that look alike: two classes to a model, one to most who write them."""
    seen: dict[str, str] = {}
    for label in labels:
        folded = unicodedata.normalize("NFKC", label).casefold()
        visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
        key = NUMBER_SPELLING.sub("", " ".join(visible.split()))
        if (other := seen.setdefault(key, label)) != label:
            logger.warning(
                "%s: the labels %r and %r are different classes, though they look alike; make them "
                "equal in the files if they are meant to be one",
                *(place, other, label),
            )
    if "-1" in labels and {"0", "1", "2"} <= set(labels):
        logger.warning(
            "%s: one of the classes is -1, which `datasets` gives rows without a label; name the "
            "others in labels and set other_labels to drop to leave them out",
            place,
        )


def _check_classes(
    task: Task, labels: Sequence[str], train: Sequence[TextExample], place: str
) -> None:
    if len(labels) > max(FEW_VALUES, len(train) // 2):
        raise ValueError(
            f"{place}: column {task.columns.label!r} has {len(labels)} different labels in "
            f"{len(train)} rows; {_swapped(task, train)}name the right label_column, or use type "
            "regression for numbers"
        )


def _swapped(task: Task, train: Sequence[TextExample]) -> str:
    """Which text column looks like one of labels, where the column of labels does not."""
    columns = {"text_column": [example.text for example in train]}
    if task.columns.pair is not None:
        columns["pair_column"] = [example.pair or "" for example in train]
    for name, values in columns.items():
        num_values = len(set(values))
        if num_values <= min(FEW_VALUES, len(train) // 4):
            return f"the {name} has {num_values}: are the two swapped? "
    return ""


def _check_tags(labels: Sequence[str], train: Sequence[TaggedExample], place: str) -> None:
    """Refuse a column of tags that looks like one of words."""
    num_words = len(set(chain.from_iterable(example.words for example in train)))
    if len(labels) > max(FEW_VALUES, num_words):
        raise ValueError(
            f"{place}: {len(labels)} different tags on {num_words} different words; the columns "
            "look swapped: set text_column and label_column"
        )
