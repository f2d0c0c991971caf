"""Remove lines that many documents share from all partitions, in two parallel passes.

Which lines are boilerplate depends on all documents of this corpus. The stripped partitions are
therefore valid for this corpus only and are kept in its work folder until it is finished.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from electra_pipeline.core.execution import Executor
from electra_pipeline.corpus.dedup.repeated_lines import (
    RepeatedLines,
    find_boilerplate,
    line_keys,
    remove,
)
from electra_pipeline.corpus.merge import read_partition
from electra_pipeline.corpus.partitions import (
    DOCUMENTS,
    PARTITION_SCHEMA,
    RECORD,
    Samples,
    document_row,
    excerpt,
    without_samples,
)
from electra_pipeline.corpus.word_hashes import Hashes
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import write_shard

BOILERPLATE = "boilerplate"


@dataclass(frozen=True)
class StripTask:
    """One partition, and where it lies without its boilerplate."""

    source: Folder
    target: Folder


def strip_all(
    lines: RepeatedLines,
    min_characters: int,
    samples_per_reason: int,
    partitions: Sequence[Folder],
    records: Sequence[dict[str, Any]],
    work: Folder,
    executor: Executor,
) -> tuple[list[Folder], list[dict[str, Any]]]:
    """All partitions and their records, samples aside, without lines that many documents have.

    A document that gets shorter than `min_characters` by that is dropped. What an interrupted run
    has left in `work` is used.
    """
    targets = [work / f"piece-{index:05d}" for index in range(len(partitions))]
    tasks = [StripTask(*each) for each in zip(partitions, targets, strict=True)]
    keys = "lines.bin"
    listing = [task for task in tasks if not task.target.exists(keys)]
    for outcome in executor.map(partial(_list_keys, lines, keys), listing):
        if outcome.error is not None:
            raise outcome.error
    found = find_boilerplate(
        lines, (np.frombuffer(target.read_bytes(keys), np.uint64) for target in targets)
    )
    stripping = [task for task in tasks if not task.target.exists(RECORD)]
    strip = partial(_strip, lines, found, min_characters, samples_per_reason)
    for outcome in executor.map(strip, stripping):
        if outcome.error is not None:
            raise outcome.error
    return targets, [
        record | without_samples(target.read_json(RECORD))
        for record, target in zip(records, targets, strict=True)
    ]


def _list_keys(lines: RepeatedLines, name: str, task: StripTask) -> None:
    with task.target.create(name) as file:
        for batch in read_partition(task.source, ["text"]):
            for text in batch["text"]:
                file.write(line_keys(lines, text.as_py()).tobytes())


def _strip(
    lines: RepeatedLines,
    boilerplate: Hashes,
    min_characters: int,
    samples_per_reason: int,
    task: StripTask,
) -> None:
    samples = Samples(samples_per_reason)
    counts: Counter[str] = Counter()

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_partition(task.source, PARTITION_SCHEMA.names):
            rows = []
            for row in batch.to_pylist():
                text, num_removed = remove(lines, row["text"], boilerplate)
                counts["removed"] += num_removed
                if num_removed and len(text) < min_characters:
                    counts["dropped"] += 1
                    key = int(row["id"][:16], 16)
                    facts = {name: row[name] for name in ("source", "url")}
                    told = {"reason": BOILERPLATE, "value": f"{num_removed} {lines.unit}s"}
                    samples.add(key, BOILERPLATE, told | facts | {"text": excerpt(row["text"])})
                    continue
                if num_removed:
                    row = document_row(text, row["source"], row["url"], row["language"])
                rows.append(row)
            yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)

    with task.target.create(DOCUMENTS) as file:
        num_kept = write_shard(file, PARTITION_SCHEMA, batches())
    before = task.source.read_json(RECORD)
    dropped = {BOILERPLATE: counts["dropped"]} if counts["dropped"] else {}
    removed = {f"{BOILERPLATE}_{lines.unit}s": counts["removed"]} if counts["removed"] else {}
    record = {
        "kept": num_kept,
        "dropped": before["dropped"] | dropped,
        "repaired": before["repaired"] | removed,
        "samples": [*before["samples"], *samples.rows()],
        "sha256": task.target.sha256(DOCUMENTS),
    }
    task.target.write_json(RECORD, record)
