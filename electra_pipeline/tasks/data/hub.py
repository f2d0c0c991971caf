"""Tasks from the Hugging Face Hub, as the same examples that files give."""

from collections import Counter
from collections.abc import Iterator

from electra_pipeline.core.errors import one_line
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.tasks.data.features import with_names
from electra_pipeline.tasks.data.records import Example, record_examples
from electra_pipeline.tasks.task import HubDataset, Task


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
        reason = one_line(error, 200)
        raise ValueError(
            f"{place}: cannot load {task.name} from the Hub: {reason}; "
            "set finetune.data to a folder with its published files"
        ) from error
    names = {
        column: list(inner.names)
        for column, feature in rows.features.items()
        if hasattr(inner := getattr(feature, "feature", feature), "names")
    }
    records = (
        (f"{place}: row {number}", with_names(row, names))
        for number, row in enumerate(rows, start=1)
    )
    yield from record_examples(task, records, dataset.columns, dropped, labelled=labelled)
