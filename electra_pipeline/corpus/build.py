"""The corpus stage: sources in, shards of clean and distinct documents out.

Pieces are read and cleaned in parallel. What must see the whole corpus follows in the order of the
pieces, so that the shards are byte-equal for any number of workers and after any interruption.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.corpus.merge import (
    Mask,
    Overview,
    count_languages,
    first_occurrences,
    held_out,
    read_overview,
    selected,
    write_shards,
)
from electra_pipeline.corpus.pieces import PieceTask, Rules, excerpt, process, record_file
from electra_pipeline.corpus.readers import Piece, check_readable, plan
from electra_pipeline.corpus.sources import Source, identity
from electra_pipeline.execution import Executor
from electra_pipeline.progress import Progress, Update
from electra_pipeline.shards import HELD_OUT_PREFIX, TRAIN_PREFIX
from electra_pipeline.storage import Folder

STAGE = "corpus"
FORMAT_VERSION = 1
UNKNOWN_LANGUAGE = "und"  # ISO 639-2: undetermined
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
        write=partial(_write, config, pieces, executor, progress),
    )


def _write(
    config: CorpusConfig,
    pieces: Sequence[Piece],
    executor: Executor,
    progress: Progress,
    draft: Draft,
) -> Written:
    records = _process_pieces(config, pieces, executor, progress, draft.work)
    progress(Update(STAGE, len(pieces), len(pieces), "pieces", {"step": "merging"}))
    overview = read_overview(draft.work, len(pieces))
    is_first = first_occurrences(overview.keys)
    duplicates = overview.count_by_piece(~is_first)
    sources = _count_by_source(records, duplicates)
    if not is_first.any():
        raise _nothing_left(sources)
    is_held_out = held_out(overview.keys, is_first, config.held_out_fraction)
    splits = {"train": is_first & ~is_held_out, "held_out": is_held_out}
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        batches = selected(draft.work, overview, splits[split])
        write_shards(draft, prefix, batches, config.shard_megabytes * 1_000_000)
    samples = _samples(records, config.samples_per_reason)
    samples += _duplicate_samples(draft.work, overview, ~is_first, config.samples_per_reason)
    with draft.create("dropped.parquet") as file:
        pq.write_table(pa.Table.from_pylist(samples, DROPPED_SCHEMA), file)
    counters = {
        "documents": {split: int(mask.sum()) for split, mask in splits.items()},
        **{
            name.removeprefix("num_"): {split: int(sizes[splits[split]].sum()) for split in splits}
            for name, sizes in overview.sizes.items()
        },
        "sources": sources,
        "languages": count_languages(overview, is_first, UNKNOWN_LANGUAGE),
    }
    _check_balance(counters)
    return Written(counters, {"pieces": [piece.name for piece in pieces]})


def _process_pieces(
    config: CorpusConfig,
    pieces: Sequence[Piece],
    executor: Executor,
    progress: Progress,
    work: Folder,
) -> list[dict[str, Any]]:
    """The completion records of all pieces; those of an interrupted run are kept."""
    rules = Rules(**config.model_dump(include=set(Rules.model_fields)))
    present = set(work.files())
    records = {
        index: work.read_json(record_file(index))
        for index in range(len(pieces))
        if record_file(index) in present
    }
    tasks = [
        PieceTask(index, piece, rules, work)
        for index, piece in enumerate(pieces)
        if index not in records
    ]
    for task in tasks:
        check_readable(task.piece)
    started, num_bytes = time.monotonic(), 0
    progress(Update(STAGE, len(records), len(pieces), "pieces"))
    for outcome in executor.map(process, tasks):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # one of the two is set
        records[tasks[outcome.index].index] = outcome.value
        num_bytes += outcome.value["bytes"]
        facts = {
            "documents": sum(record["kept"] for record in records.values()),
            "MB": num_bytes / 1e6,
            "MB/s": num_bytes / 1e6 / (time.monotonic() - started),
        }
        progress(Update(STAGE, len(records), len(pieces), "pieces", facts))
    return [records[index] for index in range(len(pieces))]


def _count_by_source(
    records: Sequence[Mapping[str, Any]], duplicates: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """By label: documents read, kept, dropped by reason; and repairs by kind."""
    sources: dict[str, dict[str, Any]] = {}
    for record, num_duplicates in zip(records, duplicates, strict=True):
        dropped = record["dropped"] | ({"duplicate": num_duplicates} if num_duplicates else {})
        before = sources.get(record["label"], {"read": 0, "kept": 0, "dropped": {}, "repaired": {}})
        sources[record["label"]] = {
            "read": before["read"] + record["read"],
            "kept": before["kept"] + record["kept"] - num_duplicates,
            "dropped": dict(Counter(before["dropped"]) + Counter(dropped)),
            "repaired": dict(Counter(before["repaired"]) + Counter(record["repaired"])),
        }
    return sources


def _nothing_left(sources: Mapping[str, Mapping[str, Any]]) -> ValueError:
    dropped = sum((Counter(source["dropped"]) for source in sources.values()), Counter[str]())
    reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common())
    found = f"all {dropped.total()} documents were dropped: {reasons}" if reasons else "no document"
    return ValueError(
        f"the corpus is empty: in {', '.join(sources) or 'its sources'}, {found}; "
        "check the sources, corpus.language and corpus.min_characters"
    )


def _samples(records: Sequence[Mapping[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The first `limit` dropped documents of each reason, in the order of the pieces."""
    num_taken: Counter[str] = Counter()
    samples = []
    for sample in chain.from_iterable(record["samples"] for record in records):
        num_taken[sample["reason"]] += 1
        if num_taken[sample["reason"]] <= limit:
            samples.append(sample)
    return sorted(samples, key=lambda sample: str(sample["reason"]))


def _duplicate_samples(
    work: Folder, overview: Overview, is_duplicate: Mask, limit: int
) -> list[dict[str, Any]]:
    rows = chain.from_iterable(
        batch.to_pylist() for batch in selected(work, overview, is_duplicate)
    )
    return [
        {"reason": "duplicate", "value": row["id"], "source": row["source"], "url": row["url"]}
        | {"text": excerpt(row["text"])}
        for row in islice(rows, limit)
    ]


def _check_balance(counters: Mapping[str, Any]) -> None:
    """Raise RuntimeError if a document was lost or counted twice: a fault of ours."""
    sources = counters["sources"].values()
    for source in sources:
        if source["read"] != source["kept"] + sum(source["dropped"].values()):
            raise RuntimeError(f"corpus counters do not balance: {source}")
    num_written = sum(counters["documents"].values())
    if num_written != sum(source["kept"] for source in sources):
        raise RuntimeError(f"corpus counters do not balance: {num_written} written of {counters}")
