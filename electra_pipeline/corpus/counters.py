"""The counters of a corpus: every document that was read is kept or dropped, by reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from electra_pipeline.corpus.document_table import DocumentTable, Mask
from electra_pipeline.corpus.merge import Copies
from electra_pipeline.corpus.sources.plan import Partition
from electra_pipeline.storage.shards import UNKNOWN_LANGUAGE


def count_documents(
    partitions: Sequence[Partition],
    records: Sequence[Mapping[str, Any]],
    table: DocumentTable,
    dropped: Mapping[str, Mask],
    copies: Mapping[str, Copies],
) -> dict[str, Any]:
    """Return all counters of a corpus.

    `records` are the completion records of its `partitions`. `dropped` maps each corpus-wide reason
    to the documents (N,) that it drops, `copies` each split to how often each document (N,) is
    written in it. Counters by split count what is written; those by source and language count each
    document once.

    Raises RuntimeError if a document is missing or counted twice, which is a bug.
    """
    kept = sum(copies.values(), np.zeros(len(table.keys), np.int64)) > 0
    counters = {
        "documents": {split: int(number.sum()) for split, number in copies.items()},
        **{
            name.removeprefix("num_"): {split: int(sizes @ copies[split]) for split in copies}
            for name, sizes in table.sizes.items()
        },
        "sources": _count_sources(partitions, records, table, dropped, kept),
        "languages": _by_language(table, kept, np.ones(len(kept), np.int64)),
        "words_by_language": _by_language(table, kept, table.sizes["num_words"]),
        "documents_by_words": _histogram(table.sizes["num_words"][kept]),
    }
    _check_balance(counters, int(kept.sum()))
    return counters


def total_of_sources(counters: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return the sum of the counters `name` (dropped or repaired) of all sources, largest first."""
    return _ordered(_added(*(source[name] for source in counters["sources"].values())))


def _count_sources(
    partitions: Sequence[Partition],
    records: Sequence[Mapping[str, Any]],
    table: DocumentTable,
    dropped: Mapping[str, Mask],
    kept: Mask,
) -> dict[str, dict[str, Any]]:
    """Return, by label, documents read, kept and dropped by reason, repairs, and sizes of the kept.

    Also the licences and weights: several if several sources have the label.
    """
    dropped_by_partition = {
        reason: table.sum_by_partition(mask) for reason, mask in dropped.items()
    }
    sizes = {"kept": table.sum_by_partition(kept)} | {
        name.removeprefix("num_"): table.sum_by_partition(values * kept)
        for name, values in table.sizes.items()
    }
    sources: dict[str, dict[str, Any]] = {}
    for index, (partition, record) in enumerate(zip(partitions, records, strict=True)):
        here = {reason: number[index] for reason, number in dropped_by_partition.items()}
        found = sources.setdefault(
            record["label"],
            {"read": 0, "dropped": {}, "repaired": {}, **dict.fromkeys(sizes, 0)}
            | {"licences": [], "weights": []},
        )
        for name, value in (
            ("licences", partition.reading.licence),
            ("weights", partition.reading.weight),
        ):
            if value is not None and value not in found[name]:
                found[name].append(value)
        found["read"] += record["read"]
        for name, numbers in sizes.items():
            found[name] += numbers[index]
        found["dropped"] = _added(found["dropped"], record["dropped"], here)
        found["repaired"] = _added(found["repaired"], record["repaired"])
    return sources


def _added(*counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sum((Counter(each) for each in counts), Counter[str]()))


def _by_language(table: DocumentTable, kept: Mask, values: Copies) -> dict[str, int]:
    """Return the sum of `values` (N,) over the kept documents of each language, by code."""
    rows = pa.table({"language": table.languages, "value": values}).filter(pa.array(kept))
    sums = rows.group_by("language").aggregate([("value", "sum")]).to_pylist()
    found = {row["language"] or UNKNOWN_LANGUAGE: row["value_sum"] for row in sums}
    return _ordered(found)


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _histogram(num_words: Copies) -> dict[str, int]:
    """Return the number of documents by length: `64` counts those of 64 to 127 words."""
    exponents = np.log2(np.maximum(num_words, 1)).astype(np.int64)
    counts = np.bincount(exponents)
    return {str(2**exponent): int(number) for exponent, number in enumerate(counts)}


def _check_balance(counters: Mapping[str, Any], num_kept: int) -> None:
    for source in counters["sources"].values():
        if source["read"] != source["kept"] + sum(source["dropped"].values()):
            raise RuntimeError(f"corpus counters do not balance: {source}")
    if num_kept != sum(source["kept"] for source in counters["sources"].values()):
        raise RuntimeError(f"corpus counters do not balance: {num_kept} kept of {counters}")
