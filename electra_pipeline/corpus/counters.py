"""What became of every document: the counters of a corpus, which balance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from electra_pipeline.corpus.merge import Copies, Mask, Overview
from electra_pipeline.corpus.sources.readers import Partition
from electra_pipeline.storage.shards import UNKNOWN_LANGUAGE


def count(
    partitions: Sequence[Partition],
    records: Sequence[Mapping[str, Any]],
    overview: Overview,
    dropped: Mapping[str, Mask],
    copies: Mapping[str, Copies],
) -> dict[str, Any]:
    """All counters of a corpus.

    `records` are those of its `partitions`, `dropped` says by reason which documents (N,) the whole
    corpus drops, `copies` how often each document is written (N,) in each split. What is counted
    by split is what is written; by source and language, documents count once.

    Raises RuntimeError if a document was lost or counted twice: a fault of ours.
    """
    kept = sum(copies.values(), np.zeros(len(overview.keys), np.int64)) > 0
    counters = {
        "documents": {split: int(number.sum()) for split, number in copies.items()},
        **{
            name.removeprefix("num_"): {split: int(sizes @ copies[split]) for split in copies}
            for name, sizes in overview.sizes.items()
        },
        "sources": _count_sources(partitions, records, overview, dropped, kept),
        "languages": _by_language(overview, kept, np.ones(len(kept), np.int64)),
        "words_by_language": _by_language(overview, kept, overview.sizes["num_words"]),
        "documents_by_words": _histogram(overview.sizes["num_words"][kept]),
    }
    _check_balance(counters, int(kept.sum()))
    return counters


def all_dropped(counters: Mapping[str, Any]) -> dict[str, int]:
    """By reason, how many documents of all sources were dropped; most frequent first."""
    return _ordered(_added(*(source["dropped"] for source in counters["sources"].values())))


def all_repaired(counters: Mapping[str, Any]) -> dict[str, int]:
    """By kind, how many repairs the documents of all sources had; most frequent first."""
    return _ordered(_added(*(source["repaired"] for source in counters["sources"].values())))


def _count_sources(
    partitions: Sequence[Partition],
    records: Sequence[Mapping[str, Any]],
    overview: Overview,
    dropped: Mapping[str, Mask],
    kept: Mask,
) -> dict[str, dict[str, Any]]:
    """By label: documents read, kept, dropped by reason; repairs by kind; sizes of what is kept.

    Also what was said of the source: its licences and weights, which are several where sources
    share a label.
    """
    dropped_by_partition = {
        reason: overview.sum_by_partition(mask) for reason, mask in dropped.items()
    }
    kept_by_partition = overview.sum_by_partition(kept)
    sizes = {
        name.removeprefix("num_"): overview.sum_by_partition(values * kept)
        for name, values in overview.sizes.items()
    }
    sources: dict[str, dict[str, Any]] = {}
    for index, (partition, record) in enumerate(zip(partitions, records, strict=True)):
        here = {reason: number[index] for reason, number in dropped_by_partition.items()}
        found = sources.setdefault(
            record["label"],
            {"read": 0, "kept": 0, "dropped": {}, "repaired": {}, **dict.fromkeys(sizes, 0)}
            | {"licences": [], "weights": []},
        )
        for name, stated in (
            ("licences", partition.reading.licence),
            ("weights", partition.reading.weight),
        ):
            if stated is not None and stated not in found[name]:
                found[name].append(stated)
        found["read"] += record["read"]
        found["kept"] += kept_by_partition[index]
        for name, numbers in sizes.items():
            found[name] += numbers[index]
        found["dropped"] = _added(found["dropped"], record["dropped"], here)
        found["repaired"] = _added(found["repaired"], record["repaired"])
    return sources


def _added(*counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sum((Counter(each) for each in counts), Counter[str]()))


def _by_language(overview: Overview, kept: Mask, values: Copies) -> dict[str, int]:
    """The sum of `values` (N,) over the kept documents of each language, by code."""
    table = pa.table({"language": overview.languages, "value": values}).filter(pa.array(kept))
    sums = table.group_by("language").aggregate([("value", "sum")]).to_pylist()
    found = {row["language"] or UNKNOWN_LANGUAGE: row["value_sum"] for row in sums}
    return _ordered(found)


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _histogram(num_words: Copies) -> dict[str, int]:
    """Number of documents by length: `64` counts those of 64 to 127 words."""
    exponents = np.log2(np.maximum(num_words, 1)).astype(np.int64)
    counts = np.bincount(exponents)
    return {str(2**exponent): int(number) for exponent, number in enumerate(counts)}


def _check_balance(counters: Mapping[str, Any], num_kept: int) -> None:
    for source in counters["sources"].values():
        if source["read"] != source["kept"] + sum(source["dropped"].values()):
            raise RuntimeError(f"corpus counters do not balance: {source}")
    if num_kept != sum(source["kept"] for source in counters["sources"].values()):
        raise RuntimeError(f"corpus counters do not balance: {num_kept} kept of {counters}")
