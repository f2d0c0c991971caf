"""Samples of dropped documents, with the reason and the measured value (dropped.parquet)."""

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

DROPPED = "dropped.parquet"
DROPPED_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string()),
        pa.field("value", pa.string()),  # the measured value that broke the rule
        pa.field("source", pa.string()),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string()),  # the beginning
    ]
)
EXCERPT_CHARACTERS = 2000  # enough to see the reason


def sample_row(reason: str, value: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `DROPPED_SCHEMA` for a document with `source`, `url` and `text`."""
    return {
        "reason": reason,
        "value": value,
        "source": document["source"],
        "url": document["url"],
        "text": document["text"][:EXCERPT_CHARACTERS],
    }


class Sampler:
    """A random choice of the dropped documents of each reason: those with the smallest keys.

    The choice does not depend on the order of the documents. A key is a content hash; equal ones
    stay in the order in which they were added. `samples` are rows of other samplers to choose from.
    """

    def __init__(self, limit: int, samples: Iterable[dict[str, Any]] = ()) -> None:
        self._limit = limit
        self._heaps: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
        self._num_added = 0
        for sample in samples:
            self.add(sample["key"], sample)

    def add(self, key: int, row: dict[str, Any]) -> None:
        """Consider one more document, by its `sample_row`."""
        self._num_added += 1
        heap = self._heaps.setdefault(row["reason"], [])
        # A heap pops its smallest item: with negative keys, that is the largest key.
        heapq.heappush(heap, (-key, -self._num_added, row | {"key": key}))
        if len(heap) > self._limit:
            heapq.heappop(heap)

    def rows(self) -> list[dict[str, Any]]:
        """Return the chosen rows by reason and key."""
        return [
            row
            for reason in sorted(self._heaps)
            for _, _, row in sorted(self._heaps[reason], reverse=True)
        ]
