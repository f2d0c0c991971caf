"""The corpus stage: sources in, shards of clean and distinct documents out.

Pieces are read and cleaned in parallel. What must see the whole corpus follows in the order of the
pieces, so that the shards are byte-equal for any number of workers and after any interruption.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.corpus.card import CARD, render
from electra_pipeline.corpus.counting import all_dropped, count
from electra_pipeline.corpus.merge import (
    Mask,
    Overview,
    copied,
    first_occurrences,
    held_out,
    num_copies,
    read_overview,
    selected,
    write_shards,
)
from electra_pipeline.corpus.pieces import (
    PieceTask,
    Rules,
    excerpt,
    find_record,
    piece_folder,
    process,
)
from electra_pipeline.corpus.readers import Piece, check_readable, plan
from electra_pipeline.corpus.sources import Source, identity
from electra_pipeline.execution import Executor
from electra_pipeline.progress import Progress, Update
from electra_pipeline.shards import HELD_OUT_PREFIX, TRAIN_PREFIX
from electra_pipeline.storage import Folder

STAGE = "corpus"
FORMAT_VERSION = 2
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


class CorpusConfig(Rules):
    """A corpus: where its documents come from, which are kept, which are held out."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where documents come from; of equal documents the first in this order stays."""
    held_out_fraction: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Share of the documents, chosen by content hash, that is never trained on."""
    shard_megabytes: int = Field(default=256, ge=1)
    """Size at which a shard is closed, in MB."""


def build(
    config: CorpusConfig, *, root: str, name: str, executor: Executor, progress: Progress
) -> Artifact:
    """The corpus artifact of `config`, written below `root` if it is not there.

    Raises ValueError, before any work, for a source that is missing or has a wrong digest or
    column; later, for a file that turns out cut or broken, and if no document is left.
    """
    pieces = plan(config.sources)
    shaping = config.model_dump(mode="json") | {
        "sources": [identity(source) for source in config.sources]
    }
    return produce(
        root=root,
        stage=STAGE,
        name=name,
        format_version=FORMAT_VERSION,
        config=shaping,
        inputs={
            f"{piece.label}/{index:05d}{piece.kind}": piece.digest
            for index, piece in enumerate(pieces)
        },
        write=partial(_write, config, pieces, root, name, executor, progress),
    )


def _write(
    config: CorpusConfig,
    pieces: Sequence[Piece],
    root: str,
    name: str,
    executor: Executor,
    progress: Progress,
    draft: Draft,
) -> Written:
    rules = Rules(**config.model_dump(include=set(Rules.model_fields)))
    tasks = [PieceTask(piece, rules, piece_folder(root, piece, rules)) for piece in pieces]
    records = _process_pieces(tasks, executor, progress)
    progress(Update(STAGE, len(pieces), len(pieces), "pieces", {"step": "merging"}))
    folders = [task.folder for task in tasks]
    overview = read_overview(folders)
    is_first = first_occurrences(overview.keys)
    dropped = {"duplicate": ~is_first}
    is_held_out = held_out(overview.keys, is_first, config.held_out_fraction)
    wanted = num_copies(overview, [piece.weight for piece in pieces])
    train = np.where(is_first & ~is_held_out, wanted, 0)
    dropped["weight"] = is_first & ~is_held_out & (wanted == 0)
    copies = {"train": train, "held_out": is_held_out.astype(np.int64)}
    counters = count(records, overview, dropped, copies)
    if not any(counters["documents"].values()):
        raise _nothing_left(counters)
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        batches = copied(folders, overview, copies[split])
        write_shards(draft, prefix, batches, config.shard_megabytes * 1_000_000)
    samples = _samples(records, config.samples_per_reason)
    for reason, mask in dropped.items():
        chosen = _chosen(overview, mask, config.samples_per_reason)
        samples += _late_samples(folders, overview, chosen, reason)
    with draft.create(DROPPED) as file:
        pq.write_table(pa.Table.from_pylist(samples, DROPPED_SCHEMA), file)
    draft.folder.write_bytes(CARD, render(name, counters, pieces, samples).encode())
    observed = {
        "pieces": [piece.name for piece in pieces],
        "pieces_known": sum(1 for record in records if record["known"]),
    }
    return Written(counters, observed)


def _process_pieces(
    tasks: Sequence[PieceTask], executor: Executor, progress: Progress
) -> list[dict[str, Any]]:
    """The completion records of all pieces; those that are known are not read again."""
    records: dict[int, dict[str, Any]] = {}
    for index, task in enumerate(tasks):
        if (record := find_record(task.folder)) is not None:
            records[index] = record | {"known": True}
    missing = [index for index in range(len(tasks)) if index not in records]
    for index in missing:
        check_readable(tasks[index].piece)
    started, num_bytes = time.monotonic(), 0
    progress(Update(STAGE, len(records), len(tasks), "pieces", {"known": len(records)}))
    for outcome in executor.map(process, [tasks[index] for index in missing]):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # one of the two is set
        records[missing[outcome.index]] = outcome.value | {"known": False}
        num_bytes += outcome.value["bytes_read"]
        facts = {
            "documents": sum(record["kept"] for record in records.values()),
            "MB": num_bytes / 1e6,
            "MB/s": num_bytes / 1e6 / (time.monotonic() - started),
        }
        progress(Update(STAGE, len(records), len(tasks), "pieces", facts))
    return [records[index] for index in range(len(tasks))]


def _nothing_left(counters: Mapping[str, Any]) -> ValueError:
    dropped = all_dropped(counters)
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.items())
    total = sum(dropped.values())
    found = f"all {total} documents were dropped: {reasons}" if reasons else "no document"
    return ValueError(
        f"the corpus is empty: in {', '.join(counters['sources']) or 'its sources'}, {found}; "
        "check the sources, corpus.language and corpus.min_characters"
    )


def _samples(records: Sequence[Mapping[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Of what the pieces dropped for each reason, the `limit` samples with the smallest keys."""
    found = chain.from_iterable(record["samples"] for record in records)
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for sample in sorted(found, key=lambda sample: (sample["reason"], sample["key"])):
        by_reason.setdefault(sample["reason"], []).append(sample)
    return [sample for samples in by_reason.values() for sample in samples[:limit]]


def _chosen(overview: Overview, mask: Mask, limit: int) -> Mask:
    """Of the documents that the mask selects, the `limit` with the smallest content hashes."""
    numbers = np.flatnonzero(mask)
    chosen = np.zeros_like(mask)
    chosen[numbers[np.argsort(overview.keys[numbers, 1], kind="stable")[:limit]]] = True
    return chosen


def _late_samples(
    folders: Sequence[Folder], overview: Overview, mask: Mask, reason: str
) -> list[dict[str, Any]]:
    """What `dropped.parquet` shows of documents that the whole corpus dropped."""
    batches = selected(folders, overview, mask)
    return [
        {"reason": reason, "value": row["id"], "source": row["source"], "url": row["url"]}
        | {"text": excerpt(row["text"])}
        for row in chain.from_iterable(batch.to_pylist() for batch in batches)
    ]
