"""Apply the rules that need the whole corpus: duplicates, evaluation data, near-duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.core.execution import Executor
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.corpus.dedup.decontamination import Index, count_tasks
from electra_pipeline.corpus.dedup.features import (
    FeatureSpec,
    find_contaminated,
    find_near_duplicates,
    write_all_features,
)
from electra_pipeline.corpus.document_table import DocumentTable, Drop, Mask
from electra_pipeline.storage.folder import Folder


def find_drops(
    config: CorpusConfig,
    index: Index | None,
    folders: Sequence[Folder],
    records: Sequence[Mapping[str, Any]],
    table: DocumentTable,
    executor: Executor,
) -> tuple[list[Drop], dict[str, Any]]:
    """Return the documents that corpus-wide rules drop, and the counters of these rules.

    A document has one reason: the first rule that drops it. `index` is that of the evaluation data
    of `config.decontaminate`; `records` are the completion records of the partitions.
    """
    is_left = first_occurrences(table.keys)
    drops = [Drop("duplicate", ~is_left, table.id)]
    counters: dict[str, Any] = {}
    spec = FeatureSpec(config.near_duplicates, index)
    if spec.near is None and index is None:
        return drops, counters
    write_all_features(spec, folders, executor)
    if index is not None and config.decontaminate is not None:
        tasks = find_contaminated(spec, folders, is_left, config.decontaminate.max_documents)
        mask = np.zeros_like(is_left)
        mask[list(tasks)] = True
        drops.append(Drop("contaminated", mask, lambda number: ", ".join(tasks[number])))
        counters["contaminated_by_task"] = count_tasks(index, tasks)
        is_left = is_left & ~mask
    if spec.near is not None:
        digests = [record["sha256"] for record in records]
        labels, clusters = find_near_duplicates(spec, folders, digests, table, is_left)
        mask = labels != np.arange(len(labels))
        drops.append(Drop("near_duplicate", mask, lambda number: table.id(labels[number])))
        counters["near_duplicate_clusters"] = {str(size): n for size, n in clusters.items()}
    return drops, counters


def first_occurrences(keys: NDArray[np.uint64]) -> Mask:
    """Return True (N,) for the first document of each content hash (N, 2), False for duplicates."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in document order
    ordered = keys[order]
    is_new = np.ones(len(keys), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    is_first = np.zeros(len(keys), dtype=bool)
    is_first[order[is_new]] = True
    return is_first
