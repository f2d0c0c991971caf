"""The corpus stage: from sources to shards of clean, distinct documents.

Partitions are read and cleaned in parallel. The steps that need the whole corpus follow in the
order of the partitions, so that shards are byte-equal for any number of workers and after any
interruption.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.corpus.card import CARD, render_card
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.corpus.counters import count_documents, total_of_sources
from electra_pipeline.corpus.dedup.corpus_rules import find_drops
from electra_pipeline.corpus.dedup.decontamination import Index, index_evaluation_data
from electra_pipeline.corpus.dedup.repeated_lines import remove_repeated_lines
from electra_pipeline.corpus.document_table import Drop, read_document_table, sample_drop
from electra_pipeline.corpus.dropped import DROPPED, DROPPED_SCHEMA, Sampler
from electra_pipeline.corpus.merge import held_out, num_copies, repeat_documents, write_shards
from electra_pipeline.corpus.partitions import (
    RECORD,
    PartitionTask,
    partition_folder,
    process_partitions,
)
from electra_pipeline.corpus.progress import STAGE, reported, step_report
from electra_pipeline.corpus.sources.plan import Partition, plan
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.shards import HELD_OUT_PREFIX, TRAIN_PREFIX

FORMAT_VERSION = 4  # 4: words and sentence ends of all scripts shape texts and counters


def build(
    config: CorpusConfig,
    context: StageContext,
    *,
    examples: Mapping[str, Iterable[str]] | None = None,
) -> Artifact:
    """Build the corpus of `config` under the root of `context`, or return it if it is finished.

    `examples` are texts of evaluation data by task, in addition to the files of
    `config.decontaminate`.

    Raises ValueError, before any work, for a source that is missing or has a wrong digest or
    column; later, for a file that turns out truncated or damaged, and if no document is kept.
    """
    partitions = plan(config.sources, step_report(context.progress, "looking up", "files"))
    index = None
    if config.decontaminate is not None:
        index = index_evaluation_data(config.decontaminate, examples or {})
    return produce(
        root=context.root,
        stage=STAGE,
        name=context.name,
        format_version=FORMAT_VERSION,
        config=config.identity,
        inputs={
            f"{partition.label}/{number:05d}{partition.kind}": partition.digest
            for number, partition in enumerate(partitions)
        }
        | ({"evaluation": index.digest} if index is not None else {}),
        write=partial(_write, config, partitions, index, context),
    )


def _write(
    config: CorpusConfig,
    partitions: Sequence[Partition],
    index: Index | None,
    context: StageContext,
    draft: Draft,
) -> Written:
    """Run the steps of the stage, in order."""
    executor, progress, rules = context.executor, context.progress, config.document_rules

    def announce(step: str) -> None:
        total = len(partitions)
        progress(Update(STAGE, total, total, "partitions", {"step": step}))

    # Read and clean each partition.
    tasks = [
        PartitionTask(each, rules, partition_folder(context.root, each, rules))
        for each in partitions
    ]
    folders = [task.folder for task in tasks]
    records = process_partitions(tasks, executor, progress)
    # The keys are older than the word partition.
    observed = {
        "pieces": [partition.name for partition in partitions],
        "piece_folders": sorted({folder.name for folder in folders}),
        "pieces_known": sum(record["reused"] for record in records),
    }
    if config.repeated_lines is not None:
        announce("removing boilerplate")
        folders, records = remove_repeated_lines(
            config.repeated_lines, rules, folders, records, draft.work, executor
        )

    # Find the documents that only the whole corpus can drop.
    announce("merging")
    table = read_document_table(reported(folders, len(folders), step_report(progress, "merging")))
    if config.near_duplicates is not None or index is not None:
        announce("comparing")
    drops, counters = find_drops(config, index, folders, records, table, executor)

    # Split and weight the rest, and write it.
    is_left = ~np.any([drop.mask for drop in drops], axis=0)
    is_held_out = held_out(table.keys, is_left, config.held_out_fraction)
    wanted = num_copies(table, [partition.reading.weight for partition in partitions])
    drops.append(Drop("weight", is_left & ~is_held_out & (wanted == 0), table.id))
    copies = {
        "train": np.where(is_left & ~is_held_out, wanted, 0),
        "held_out": is_held_out.astype(np.int64),
    }
    dropped = {drop.reason: drop.mask for drop in drops}
    counters = count_documents(partitions, records, table, dropped, copies) | counters
    if not any(counters["documents"].values()):
        raise _no_document_kept(counters)
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        batches = reported(
            repeat_documents(folders, copies[split]),
            int(copies[split].sum()),
            step_report(progress, "writing", "documents"),
            size=lambda batch: batch.num_rows,
        )
        write_shards(draft, prefix, batches, config.shard_megabytes * 1_000_000)

    # Document the corpus.
    limit = config.samples_per_reason
    of_partitions = (folder.read_json(RECORD)["samples"] for folder in folders)
    samples = Sampler(limit, chain.from_iterable(of_partitions)).rows()
    for drop in drops:
        samples += sample_drop(drop, folders, table, limit)
    with draft.create(DROPPED) as file:
        pq.write_table(pa.Table.from_pylist(samples, DROPPED_SCHEMA), file)
    card = render_card(context.name, counters, partitions, samples)
    draft.folder.write_bytes(CARD, card.encode())
    return Written(counters, observed)


def _no_document_kept(counters: Mapping[str, Any]) -> ValueError:
    dropped = total_of_sources(counters, "dropped")
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.items())
    total = sum(dropped.values())
    found = f"all {total} documents were dropped: {reasons}" if reasons else "no document"
    return ValueError(
        f"the corpus is empty: in {', '.join(counters['sources']) or 'its sources'}, {found}; "
        "check the sources, corpus.language and corpus.min_characters"
    )
