"""Boilerplate: lines or paragraphs that many documents have in common, word for word.

Workers list the keys of each document's lines (`line_keys`), the driver finds those that many
documents have (`find_boilerplate`), and workers take these lines out (`remove`).
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.text import PARAGRAPH_END
from electra_pipeline.corpus.word_hashes import Hashes

MAX_KEYS = 1 << 24  # sorted at a time: 1 GB at most while they are


class RepeatedLines(Config):
    """Which lines count as boilerplate."""

    unit: Literal["line", "paragraph"] = "line"
    """What is compared: lines, or paragraphs (between blank lines)."""
    min_documents: int = Field(default=7, ge=2)
    """Lines of at least so many documents are removed. Llama 3 removed those seen more than 6 times
    in 30 million documents (Dubey et al. 2024, section 3.1.1)."""
    min_characters: int = Field(default=20, ge=1)
    """Shorter lines always stay, as dialogue, verse and headings repeat them; a choice of ours."""


class _Run(NamedTuple):
    """Distinct keys, ascending, and how many documents have each."""

    keys: Hashes
    counts: NDArray[np.int64]


def line_keys(config: RepeatedLines, text: str) -> Hashes:
    """The distinct keys of a cleaned document's lines (or paragraphs) but the short, ascending.

    Case and white space do not count, as in `cleaning.content_id`.
    """
    return np.unique(_split(config, text)[2])


def find_boilerplate(
    config: RepeatedLines, chunks: Iterable[Hashes], max_keys: int = MAX_KEYS
) -> Hashes:
    """The keys that at least `min_documents` documents have, ascending.

    Each of `chunks` holds the `line_keys` of some documents one after the other, in any order.
    About `max_keys` keys at a time are sorted and lie in a temporary folder then (16 bytes for each
    distinct one), so that memory holds these, a chunk and the result at most: about 64 bytes for
    each of `max_keys`.
    """
    found = [np.empty(0, np.uint64)]
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
        runs = [_spill(run, Path(scratch, str(n))) for n, run in enumerate(_runs(chunks, max_keys))]
        # Hashes are spread evenly: ranges of equal width hold about as many.
        num_ranges = -(-sum(len(run.keys) for run in runs) // max_keys)
        bounds = [number * 2**64 // num_ranges for number in range(1, num_ranges)]
        parts = [_split_run(run, np.array(bounds, np.uint64)) for run in runs]
        for of_one_range in zip(*parts, strict=True):
            keys, counts = _add_up(of_one_range)
            found.append(keys[counts >= config.min_documents])
    return np.concatenate(found)


def remove(config: RepeatedLines, text: str, boilerplate: Hashes) -> tuple[str, int]:
    """A cleaned document without the lines whose keys are in `boilerplate` (ascending); how many.

    The text is empty where all were.
    """
    lines, places, keys = _split(config, text)
    ranks = np.searchsorted(boilerplate, keys)
    is_known = ranks < len(boilerplate)
    is_known[is_known] = boilerplate[ranks[is_known]] == keys[is_known]
    if not is_known.any():
        return text, 0
    removed = set(places[is_known].tolist())
    rest = (line for place, line in enumerate(lines) if place not in removed)
    text = _separator(config).join(rest)
    return PARAGRAPH_END.sub("\n\n", text).strip(), len(removed)


def _separator(config: RepeatedLines) -> str:
    return "\n" if config.unit == "line" else "\n\n"


def _split(config: RepeatedLines, text: str) -> tuple[list[str], NDArray[np.int64], Hashes]:
    """All lines; the places of those that are long enough; their keys."""
    lines = text.split(_separator(config))
    places = [place for place, line in enumerate(lines) if len(line) >= config.min_characters]
    keys = (
        xxhash.xxh3_64_intdigest(" ".join(lines[place].lower().split()).encode())
        for place in places
    )
    return lines, np.array(places, np.int64), np.fromiter(keys, np.uint64, len(places))


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


def _spill(run: _Run, place: Path) -> _Run:
    """The run, in files that are mapped into memory."""
    keys, counts = place.with_suffix(".keys.npy"), place.with_suffix(".counts.npy")
    np.save(keys, run.keys)
    np.save(counts, run.counts)
    return _Run(np.load(keys, mmap_mode="r"), np.load(counts, mmap_mode="r"))


def _split_run(run: _Run, bounds: Hashes) -> list[_Run]:
    """The parts of a run whose keys lie below, between and from `bounds` on."""
    cuts = np.searchsorted(run.keys, bounds)
    parts = zip(np.split(run.keys, cuts), np.split(run.counts, cuts), strict=True)
    return [_Run(*part) for part in parts]


def _add_up(runs: Sequence[_Run]) -> _Run:
    """One run with the sums of the counts."""
    keys = np.concatenate([run.keys for run in runs])
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    counts = np.concatenate([run.counts for run in runs])[order]
    return _Run(keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts)
