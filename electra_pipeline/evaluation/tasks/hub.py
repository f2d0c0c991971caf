"""Tasks from the Hugging Face Hub, as the same examples that files give."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from electra_pipeline.evaluation.tasks.multiple_choice import choice_examples
from electra_pipeline.evaluation.tasks.reading import (
    Example,
    tagged_records,
    text_examples,
)
from electra_pipeline.evaluation.tasks.squad import question_example
from electra_pipeline.evaluation.tasks.task import HubDataset, Task
from electra_pipeline.quiet import quiet_transformers


def read_hub(
    task: Task,
    dataset: HubDataset,
    split: str,
    dropped: Counter[str],
    *,
    labelled: bool = True,
) -> Iterator[Example]:
    """The examples of one split. Raises ValueError if the Hub or the split cannot be had."""
    import datasets  # takes seconds; a run whose data lies in files does without

    place = f"{dataset.path} ({split})"
    try:
        with quiet_transformers():
            rows = datasets.load_dataset(
                dataset.path, dataset.config, split=split, revision=dataset.revision
            )
    except Exception as error:  # offline, gone, renamed, a script: each has its own exception
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{place}: cannot load {task.name} from the Hub: {reason}; "
            "set finetune.data to a folder with its published files"
        ) from error
    names = _class_names(rows.features)

    def records() -> Iterator[tuple[str, dict[str, Any]]]:
        for number, row in enumerate(rows, start=1):
            yield (
                f"{place}: row {number}",
                {column: _named(value, names.get(column)) for column, value in row.items()},
            )

    columns = dataset.columns
    match task.type:
        case "classification" | "regression":
            yield from text_examples(task, records(), columns, dropped, labelled=labelled)
        case "multiple-choice":
            yield from choice_examples(records(), columns, labelled=labelled)
        case "tagging":
            yield from tagged_records(task, records(), columns, dropped)
        case "question-answering":
            for _, row in records():
                answers = row["answers"]
                yield question_example(
                    row["id"],
                    row["question"],
                    row["context"],
                    answers["text"],
                    answers["answer_start"],
                )


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the classes of each column that holds class indexes, or lists of them."""
    found = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if hasattr(inner, "names"):
            found[column] = list(inner.names)
    return found


def _named(value: Any, names: list[str] | None) -> Any:
    """Class indexes as names; what has no class (-1) as None."""
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if value is not None and value >= 0 else None
