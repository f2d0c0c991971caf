"""Documents that were dropped, to look at: some of each reason, with what the rule measured."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from electra_pipeline.corpus.merge import Mask, Overview, selected
from electra_pipeline.corpus.partitions import RECORD, excerpt
from electra_pipeline.storage.folder import Folder

DROPPED = "dropped.parquet"
DROPPED_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string()),
        pa.field("value", pa.string()),  # what the rule measured
        pa.field("source", pa.string()),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string()),  # the beginning
    ]
)

Value = Callable[[int], str]
"""What a rule says of the document with this number."""


def samples_of_partitions(partitions: Iterable[Folder], limit: int) -> list[dict[str, Any]]:
    """Of what the partitions dropped for each reason, the `limit` samples with the smallest keys.

    Read from the records partition by partition: each has some hundred kilobytes of them.
    """
    chosen: dict[str, list[dict[str, Any]]] = {}
    for partition in partitions:
        for sample in partition.read_json(RECORD)["samples"]:
            chosen.setdefault(sample["reason"], []).append(sample)
        for samples in chosen.values():
            samples.sort(key=lambda sample: sample["key"])  # stable: equal keys by partition
            del samples[limit:]
    return [sample for reason in sorted(chosen) for sample in chosen[reason]]


def samples_of_whole(
    folders: Sequence[Folder],
    overview: Overview,
    dropped: Mask,
    reason: str,
    value: Value,
    limit: int,
) -> list[dict[str, Any]]:
    """Of the documents (N,) that the whole corpus dropped, those with the smallest hashes."""
    numbers = np.flatnonzero(dropped)
    chosen = np.zeros_like(dropped)
    chosen[numbers[np.argsort(overview.keys[numbers, 1], kind="stable")[:limit]]] = True
    batches = selected(folders, overview, chosen)
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    return [
        {
            "reason": reason,
            "value": value(number),
            "source": row["source"],
            "url": row["url"],
            "text": excerpt(row["text"]),
        }
        for number, row in zip(np.flatnonzero(chosen).tolist(), rows, strict=True)
    ]
