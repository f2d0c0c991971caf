"""Remove lines or paragraphs that many documents share, word for word (boilerplate).

Workers list the keys of each document's lines (`line_keys`), the driver finds those that many
documents have (`find_boilerplate`), and workers remove these lines (`remove_lines`). Which lines
are boilerplate depends on all documents of this corpus. The stripped partitions are therefore valid
for this corpus only, and are stored in its work folder until it is finished.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from electra_pipeline.core.execution import Executor, values_in_order
from electra_pipeline.corpus.cleaning.config import DocumentRules
from electra_pipeline.corpus.dedup.config import RepeatedLines
from electra_pipeline.corpus.dropped import Sampler, sample_row
from electra_pipeline.corpus.partitions import (
    PARTITION_SCHEMA,
    RECORD,
    PartitionCounts,
    document_row,
    read_partition,
    without_samples,
    write_partition,
)
from electra_pipeline.corpus.word_hashes import Hashes
from electra_pipeline.storage.folder import Folder
from electra_pipeline.text.spaces import one_line, single_blank_lines

BOILERPLATE = "boilerplate"
LINE_KEYS = "lines.bin"
SEPARATORS = {"line": "\n", "paragraph": "\n\n"}
MAX_KEYS = 1 << 24  # sorted at a time, in at most 1 GB of memory


@dataclass(frozen=True)
class StripTask:
    """One partition, and the folder for it without its boilerplate."""

    source: Folder
    target: Folder


def remove_repeated_lines(
    lines: RepeatedLines,
    rules: DocumentRules,
    folders: Sequence[Folder],
    records: Sequence[dict[str, Any]],
    work: Folder,
    executor: Executor,
) -> tuple[list[Folder], list[dict[str, Any]]]:
    """Return the folders and records, without samples, of all partitions without boilerplate.

    A document that becomes shorter than `rules.min_characters` is dropped. Files that an
    interrupted run left in `work` are reused.
    """
    # The name is older than the word partition.
    targets = [work / f"piece-{index:05d}" for index in range(len(folders))]
    tasks = [StripTask(*each) for each in zip(folders, targets, strict=True)]
    to_list = [task for task in tasks if not task.target.exists(LINE_KEYS)]
    values_in_order(executor.map(partial(_list_keys, lines), to_list))
    boilerplate = find_boilerplate(
        lines, (np.frombuffer(target.read_bytes(LINE_KEYS), np.uint64) for target in targets)
    )
    to_strip = [task for task in tasks if not task.target.exists(RECORD)]
    values_in_order(executor.map(partial(_strip, lines, rules, boilerplate), to_strip))
    return targets, [
        record | without_samples(target.read_json(RECORD))
        for record, target in zip(records, targets, strict=True)
    ]


def _list_keys(lines: RepeatedLines, task: StripTask) -> None:
    with task.target.create(LINE_KEYS) as file:
        for batch in read_partition(task.source, ["text"]):
            for text in batch["text"]:
                file.write(line_keys(lines, text.as_py()).tobytes())


def _strip(
    lines: RepeatedLines, rules: DocumentRules, boilerplate: Hashes, task: StripTask
) -> None:
    before = task.source.read_json(RECORD)
    sampler = Sampler(rules.samples_per_reason, before["samples"])
    counts = PartitionCounts(
        label=before["label"],
        read=before["read"],
        bytes_read=before["bytes_read"],
        dropped=Counter(before["dropped"]),
        repaired=Counter(before["repaired"]),
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_partition(task.source, PARTITION_SCHEMA.names):
            rows = []
            for row in batch.to_pylist():
                text, num_removed = remove_lines(lines, row["text"], boilerplate)
                if num_removed:
                    counts.repaired[f"{BOILERPLATE}_{lines.unit}s"] += num_removed
                    if len(text) < rules.min_characters:
                        counts.dropped[BOILERPLATE] += 1
                        sample = sample_row(BOILERPLATE, f"{num_removed} {lines.unit}s", row)
                        sampler.add(int(row["id"][:16], 16), sample)
                        continue
                    row = document_row(text, row["source"], row["url"], row["language"])
                rows.append(row)
            counts.kept += len(rows)
            yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)

    write_partition(task.target, batches(), counts, sampler)


class _Run(NamedTuple):
    """Distinct keys, ascending, and the number of documents that have each."""

    keys: Hashes
    counts: NDArray[np.int64]


def line_keys(config: RepeatedLines, text: str) -> Hashes:
    """Return the distinct keys of a cleaned document's lines (or paragraphs), ascending.

    Short ones have none. Case and white space do not count, as in `text.content_id`.
    """
    return np.unique(_split(config, text)[2])


def find_boilerplate(
    config: RepeatedLines, chunks: Iterable[Hashes], max_keys: int = MAX_KEYS
) -> Hashes:
    """Return the keys that at least `min_documents` documents have, ascending.

    Each of `chunks` holds the concatenated `line_keys` of some documents, in any order. About
    `max_keys` keys at a time are sorted and written to a temporary folder (16 bytes for each
    distinct one). Memory holds these, a chunk and the result: about 64 bytes for each of
    `max_keys`.
    """
    found = [np.empty(0, np.uint64)]
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
        runs = [_spill(run, Path(scratch, str(n))) for n, run in enumerate(_runs(chunks, max_keys))]
        # Hashes are spread evenly: ranges of equal width hold about equally many.
        num_ranges = -(-sum(len(run.keys) for run in runs) // max_keys)
        bounds = [number * 2**64 // num_ranges for number in range(1, num_ranges)]
        parts = [_split_run(run, np.array(bounds, np.uint64)) for run in runs]
        for of_one_range in zip(*parts, strict=True):
            keys, counts = _add_up(of_one_range)
            found.append(keys[counts >= config.min_documents])
    return np.concatenate(found)


def remove_lines(config: RepeatedLines, text: str, boilerplate: Hashes) -> tuple[str, int]:
    """Remove the lines with keys in `boilerplate` (ascending); return the text and their number.

    The text is empty if all lines are removed.
    """
    lines, numbers, keys = _split(config, text)
    ranks = np.searchsorted(boilerplate, keys)
    is_boilerplate = ranks < len(boilerplate)
    is_boilerplate[is_boilerplate] = boilerplate[ranks[is_boilerplate]] == keys[is_boilerplate]
    if not is_boilerplate.any():
        return text, 0
    removed = set(numbers[is_boilerplate].tolist())
    rest = (line for number, line in enumerate(lines) if number not in removed)
    text = SEPARATORS[config.unit].join(rest)
    return single_blank_lines(text).strip(), len(removed)


def _split(config: RepeatedLines, text: str) -> tuple[list[str], NDArray[np.int64], Hashes]:
    """Return all lines, the numbers of those that are long enough, and their keys."""
    lines = text.split(SEPARATORS[config.unit])
    numbers = [number for number, line in enumerate(lines) if len(line) >= config.min_characters]
    keys = (
        xxhash.xxh3_64_intdigest(one_line(lines[number].lower()).encode()) for number in numbers
    )
    return lines, np.array(numbers, np.int64), np.fromiter(keys, np.uint64, len(numbers))


def _runs(chunks: Iterable[Hashes], max_keys: int) -> Iterator[_Run]:
    waiting: list[Hashes] = []
    num_keys = 0
    for chunk in chunks:
        waiting.append(chunk)
        num_keys += len(chunk)
        if num_keys >= max_keys:
            yield _Run(*np.unique(np.concatenate(waiting), return_counts=True))
            waiting, num_keys = [], 0
    if num_keys:
        yield _Run(*np.unique(np.concatenate(waiting), return_counts=True))


def _spill(run: _Run, path: Path) -> _Run:
    """Write a run to files and return it mapped into memory."""
    keys, counts = path.with_suffix(".keys.npy"), path.with_suffix(".counts.npy")
    np.save(keys, run.keys)
    np.save(counts, run.counts)
    return _Run(np.load(keys, mmap_mode="r"), np.load(counts, mmap_mode="r"))


def _split_run(run: _Run, bounds: Hashes) -> list[_Run]:
    """Split a run at `bounds`: keys below the first, between two, from the last on."""
    cuts = np.searchsorted(run.keys, bounds)
    parts = zip(np.split(run.keys, cuts), np.split(run.counts, cuts), strict=True)
    return [_Run(*part) for part in parts]


def _add_up(runs: Sequence[_Run]) -> _Run:
    """Merge runs into one, adding the counts of equal keys."""
    keys = np.concatenate([run.keys for run in runs])
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    counts = np.concatenate([run.counts for run in runs])[order]
    return _Run(keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts)
