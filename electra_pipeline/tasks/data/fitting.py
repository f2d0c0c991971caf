"""Which metrics a task has, by its data: the one place that decides it, before training."""

from collections.abc import Sequence

from electra_pipeline.tasks.data.records import Example
from electra_pipeline.tasks.kinds.answer_texts import is_unspaced
from electra_pipeline.tasks.kinds.chunks import are_chunks, odd_tags, read_tag
from electra_pipeline.tasks.kinds.metrics import METRICS
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.task import Task

OF_WORDS = ("accuracy",)  # of tags that mark no chunks, such as parts of speech


def metrics_of(
    task: Task, labels: Sequence[str], train: Sequence[Example], place: str
) -> tuple[str, ...]:
    """The metrics that the configuration names, else those that suit the labels and the script.

    Raises ValueError, with the remedy, for a metric that the task's data does not have.
    """
    match task.type:
        case "classification":
            metrics = task.metrics or ("accuracy", "macro_f1")
            if "f1" in metrics and len(labels) != 2:
                raise ValueError(
                    f"{task.name}: the metric f1 is for two labels, {place} has {len(labels)}; use "
                    "macro_f1"
                )
            return metrics
        case "tagging":
            return _of_tags(task, labels, place)
        case "question-answering":
            answers = (e.answers for e in train if isinstance(e, QuestionExample))
            text = "".join(answer for each in answers for answer in each)
            f1 = "character_f1" if is_unspaced(text) else "f1"
            return task.metrics or ("exact_match", f1)
        case _:
            return task.metrics or tuple(METRICS[task.type])


def _of_tags(task: Task, labels: Sequence[str], place: str) -> tuple[str, ...]:
    if are_chunks(labels):
        return task.metrics or tuple(METRICS["tagging"])
    if task.metrics == OF_WORDS:
        return task.metrics
    if odd := odd_tags(labels):
        raise ValueError(
            f"{place}: the tags {_some(odd)} are neither O nor B-, I-, E- or S- and a type in one "
            "notation; repair them, or set metrics to [accuracy]"
        )
    if wrong := [metric for metric in task.metrics or () if metric not in OF_WORDS]:
        raise ValueError(
            f"{task.name}: the metrics {', '.join(wrong)} are of chunks, with tags like B-PER and "
            f"O; the tags {_some(labels)} of {place} are not: set metrics to [accuracy], or "
            "repair the tags"
        )
    return OF_WORDS


def check_chunks(labels: Sequence[str], examples: Sequence[Example], place: str) -> None:
    """Raise ValueError for a tag to score that is no chunk where those of train are chunks."""
    if not are_chunks(labels):
        return
    (notation,) = {read.notation for label in labels if (read := read_tag(label)) is not None}
    outsides = [label for label in labels if read_tag(label) is None]
    for example in examples:
        for tag in example.tags if isinstance(example, TaggedExample) else ():
            read = read_tag(tag)
            if read.notation != notation if read else tag not in (outsides or ["O"]):
                raise ValueError(
                    f"{place}: sentence {example.id}: the tag {tag!r} is no chunk as the tags of "
                    f"train are ({_some(labels)}); repair it, or set metrics to [accuracy]"
                )


def _some(tags: Sequence[str]) -> str:
    return ", ".join(map(repr, tags[:5]))
