"""Find documents that contain examples of evaluation data, by word sequences that both have.

As in Brown et al. 2020 (GPT-3), appendix C, except that a document is dropped as a whole. Case and
punctuation are ignored.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np
import orjson
from numpy.typing import NDArray

from electra_pipeline.corpus.dedup.config import Decontamination
from electra_pipeline.corpus.dedup.shingles import ngrams, plain_words
from electra_pipeline.corpus.sources.config import default_label
from electra_pipeline.corpus.word_hashes import MULTIPLIER, Hashes
from electra_pipeline.inputs.files import SourceFile, expand, fetch
from electra_pipeline.inputs.formats import Format
from electra_pipeline.inputs.records import read_records, resolve_format
from electra_pipeline.text.normalization import normalize
from electra_pipeline.text.words import CHARACTERS_PER_WORD, has_spaced_words

BATCH_EXAMPLES = 1024
# Entries of the table, which ends most lookups, per hash: 1 of 32 other hashes passes it.
TABLE_ENTRIES_PER_HASH = 32


@dataclass(frozen=True)
class Index:
    """The word sequences of all tasks. Picklable; 44 to 76 bytes each."""

    tasks: tuple[str, ...]
    lengths: tuple[int, ...]
    """Lengths of the sequences in words, ascending."""
    hashes: Hashes
    """(S,) ascending; a sequence of several tasks occurs once for each."""
    owners: NDArray[np.int32]
    """(S,) the number of the task of each sequence."""
    table: NDArray[np.bool_]
    """(a power of two,) False if no hash begins with the bits of the position."""

    @cached_property
    def digest(self) -> str:
        """Return the hex sha256 over all sequences, whatever files the examples came from."""
        named = orjson.dumps([self.tasks, self.lengths])
        return hashlib.sha256(named + self.hashes.tobytes() + self.owners.tobytes()).hexdigest()


def index_evaluation_data(config: Decontamination, examples: Mapping[str, Iterable[str]]) -> Index:
    """Return the word sequences of `examples` by task, and of the files in the configuration.

    Raises ValueError for a file that is missing or cannot be read.
    """
    given: dict[str, Iterable[str]] = dict(examples) if config.tasks else {}
    for task, texts in read_examples(config):
        given[task] = chain(given.get(task, ()), texts)
    if not given:
        raise ValueError(
            "corpus.decontaminate names no evaluation data: give it files, or a finetune section "
            "with tasks"
        )
    return build_index(config, given)


def count_tasks(index: Index, tasks: Mapping[int, Sequence[str]]) -> dict[str, int]:
    """Return the number of documents with an example of each task; `tasks` is from `tasks_held`."""
    counts = Counter(chain.from_iterable(tasks.values()))
    return {task: counts[task] for task in index.tasks}


def read_examples(config: Decontamination) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the task and the texts of each file, read lazily; http files are downloaded here.

    Raises ValueError if a file does not exist or its format is unknown, and, when the texts are
    read, for a file that cannot be read.
    """
    for reference in config.files:
        for found in expand(reference):
            task, file = default_label(found), fetch(found)
            format = resolve_format(file, config.format)
            yield task, _texts(config, file, format)


def build_index(config: Decontamination, examples: Mapping[str, Iterable[str]]) -> Index:
    """Return the index over the texts of each task, by the task's name."""
    hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]
    lengths = set()
    for number, texts in enumerate(examples.values()):
        remaining = iter(texts)
        while batch := list(islice(remaining, BATCH_EXAMPLES)):
            for length, found in _sequences(config, batch):
                lengths.add(length)
                hashes.append(found)
                owners.append(np.full(len(found), number, np.int32))
    all_hashes, all_owners = np.concatenate(hashes), np.concatenate(owners)
    order = np.lexsort((all_owners, all_hashes))
    all_hashes, all_owners = all_hashes[order], all_owners[order]
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(all_hashes) != 0) | (np.diff(all_owners) != 0)
    all_hashes, all_owners = all_hashes[is_new], all_owners[is_new]
    num_bits = max(1, (TABLE_ENTRIES_PER_HASH * len(all_hashes) - 1).bit_length())
    table = np.zeros(1 << num_bits, dtype=bool)
    table[all_hashes >> np.uint64(64 - num_bits)] = True
    return Index(tuple(examples), tuple(sorted(lengths)), all_hashes, all_owners, table)


def find_sequences(index: Index, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """Return, for each text, the sequences that it has: ascending positions in `index.hashes`.

    Fast for some hundred texts at once, slow for single texts. Uses 40 bytes of memory a word.
    """
    words = plain_words(texts)
    found = [np.empty((2, 0), np.int64)]  # text and sequence
    for length, rolled in _rolled(words.hashes, index.lengths):
        shift = np.uint64(64 - (len(index.table).bit_length() - 1))
        # `take` requires signed numbers, and is three times as fast as indexing.
        positions = np.flatnonzero(index.table.take((rolled >> shift).view(np.int64)))
        first = np.searchsorted(index.hashes, rolled[positions])
        is_hit = index.hashes[np.minimum(first, len(index.hashes) - 1)] == rolled[positions]
        positions, first = positions[is_hit], first[is_hit]
        counts = np.searchsorted(index.hashes, rolled[positions], side="right") - first
        of_text = np.searchsorted(words.ends, positions, side="right")
        counts[positions + length > words.ends[of_text]] = 0  # sequences that end in the next text
        entries = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        found.append(np.stack([np.repeat(of_text, counts), entries]))
    of_text, entries = np.unique(np.concatenate(found, axis=1), axis=1)
    ends = np.searchsorted(of_text, np.arange(len(texts)), side="right")
    return np.split(entries.astype(np.int32), ends[:-1]) if len(texts) else []


def tasks_held(
    index: Index,
    documents: NDArray[np.int64],
    sequences: NDArray[np.int32],
    max_documents: int | None,
) -> dict[int, list[str]]:
    """Return the tasks of each document that contains an example, by its number, in index order.

    `documents` and `sequences` (P,) are pairs: a document, and a sequence that `find_sequences`
    found in it. A sequence in more than `max_documents` of these documents does not count.
    """
    if max_documents is not None:
        is_rare = np.bincount(sequences, minlength=len(index.hashes)) <= max_documents
        documents, sequences = documents[is_rare[sequences]], sequences[is_rare[sequences]]
    tasks: dict[int, list[str]] = {}
    pairs = np.unique(np.stack([documents, index.owners[sequences]]), axis=1)
    for document, task in pairs.T.tolist():
        tasks.setdefault(document, []).append(index.tasks[task])
    return tasks


def _sequences(config: Decontamination, texts: Sequence[str]) -> Iterator[tuple[int, Hashes]]:
    """Yield, by length, the hashes of the sequences of the texts, normalized as a corpus is."""
    normalized = [normalize(text) for text in texts]
    words = plain_words(normalized)
    num_words = np.diff(words.ends, prepend=0)
    units = [1 if has_spaced_words(text) else CHARACTERS_PER_WORD for text in normalized]
    longest = config.ngram_words * np.array(units)
    for length in range(config.min_words, int(longest.max(initial=0)) + 1):
        is_wanted = (num_words == length) & (length <= longest)
        is_wanted |= (num_words > length) & (length == longest)
        if is_wanted.any():
            sequences = ngrams(words, length)
            of_wanted = np.repeat(is_wanted, np.diff(sequences.ends, prepend=0))
            yield length, sequences.hashes[of_wanted]


def _rolled(words: Hashes, lengths: Sequence[int]) -> Iterator[tuple[int, Hashes]]:
    """Yield `hash_ngrams` for each of `lengths` (ascending), each computed from the one before."""
    rolled, previous = words, 1
    for length in lengths:
        if length > len(words):
            return
        for n in range(previous + 1, length + 1):
            rolled = rolled[:-1] * MULTIPLIER + words[n - 1 :]
        yield length, rolled
        previous = length


def _texts(config: Decontamination, file: SourceFile, format: Format) -> Iterator[str]:
    columns = ("text",) if format == "text" else config.text_columns
    for number, record in enumerate(read_records(file, format), start=1):
        present = [column for column in columns if column in record]
        if not present:
            raise ValueError(
                f"{file.name}: record {number} has none of the columns {', '.join(columns)}; it "
                f"has {', '.join(record) or 'none'}; set text_columns to the columns with the texts"
            )
        for column in present:
            value = record[column]
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield text
                elif text is not None:
                    raise ValueError(
                        f"{file.name}: record {number}: column {column!r} holds a "
                        f"{type(text).__name__}, not text; set text_columns to those with the texts"
                    )
