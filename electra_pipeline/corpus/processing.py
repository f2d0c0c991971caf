"""The partitions of a corpus, read side by side, and how far the stage is."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from electra_pipeline.core.execution import Executor
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.corpus.partitions import PartitionTask, find_record, process, without_samples
from electra_pipeline.corpus.sources.readers import check_readable

STAGE = "corpus"
WATCH_SECONDS = 1.0  # between two updates of a step


def process_partitions(
    tasks: Sequence[PartitionTask], executor: Executor, progress: Progress
) -> list[dict[str, Any]]:
    """Return the records of all partitions, without samples; finished ones are reused."""
    records: dict[int, dict[str, Any]] = {}
    watch = watching(progress, "looking up finished partitions", "partitions")
    for index, task in enumerate(tasks):
        watch(index, len(tasks))
        if (record := find_record(task.folder)) is not None:
            records[index] = without_samples(record) | {"reused": True}
    missing = [index for index in range(len(tasks)) if index not in records]
    watch = watching(progress, "checking", "partitions")
    for number, index in enumerate(missing):
        watch(number, len(missing))
        check_readable(tasks[index].partition)
    started, num_bytes = time.monotonic(), 0
    num_documents = sum(record["kept"] for record in records.values())
    progress(Update(STAGE, len(records), len(tasks), "partitions", {"reused": len(records)}))
    working: dict[str, Mapping[str, Any]] = {}  # what partitions tell that are being read

    def tell(update: Update | None = None) -> None:
        if update is not None:
            working[update.item] = update.metrics
        num_megabytes = num_bytes / 1e6 + sum(facts["MB"] for facts in working.values())
        facts = {
            "documents": num_documents + sum(facts["documents"] for facts in working.values()),
            "MB": num_megabytes,
            "MB/s": num_megabytes / (time.monotonic() - started),
        }
        progress(Update(STAGE, len(records), len(tasks), "partitions", facts))

    for outcome in executor.map(process, [tasks[index] for index in missing], progress=tell):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # one of the two is set
        index = missing[outcome.index]
        records[index] = without_samples(outcome.value) | {"reused": False}
        working.pop(tasks[index].folder.name, None)
        num_bytes += outcome.value["bytes_read"]
        num_documents += outcome.value["kept"]
        tell()
    return [records[index] for index in range(len(tasks))]


def watching(progress: Progress, step: str, unit: str = "files") -> Callable[[int, int], None]:
    """What tells how far a step is, at most once a second."""
    last = time.monotonic()

    def watch(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= WATCH_SECONDS:
            last = time.monotonic()
            progress(Update(STAGE, done, total, unit, {"step": step}))

    return watch
