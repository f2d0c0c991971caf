"""Find clusters of near-duplicates among documents by their keys (`minhash.py`).

Candidates share a key; only pairs whose exact similarity was measured are joined. Otherwise
documents of one template would be chained by chance matches into clusters that are not copies
(859,092 documents became 2: github.com/marin-community/marin/issues/6854).

Documents are numbered by content here (their rank among the content hashes), so that clusters and
the documents kept of them depend neither on the order of the input nor on the number of workers.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from electra_pipeline.corpus.dedup.config import NearDuplicates
from electra_pipeline.corpus.document_table import Mask
from electra_pipeline.corpus.word_hashes import Hashes

Numbers = NDArray[np.int64]

# In a bucket (the documents that share a key), so many documents in turn are compared to the
# others: all pairs of up to nine documents. In a larger bucket, documents that are joined to one of
# them are not compared again, so that each of them represents another cluster. n documents make at
# most 8 n pairs; missed pairs may be found in other bands. The value is a compromise of speed
# and recall.
CENTRES = 8
# Pairs are compared in blocks of so many characters of text: their shingles take about 100 MB for
# English and 500 MB for Chinese, where each character begins one.
BLOCK_CHARACTERS = 1 << 24


def find(
    config: NearDuplicates,
    keys_by_band: Callable[[int], Hashes],
    ids: Hashes,
    sizes: Numbers,
    shingles: Callable[[Numbers], Sequence[Hashes]],
    candidates: Mask,
) -> Numbers:
    """Return, for each document (N,), the number of the one that is kept of its cluster.

    `keys_by_band(band)` returns the (N,) keys of a band, `ids` (N, 2) are the content hashes,
    `sizes` (N,) the numbers of characters. `candidates` (N,) is True for documents that are
    compared: neither exact duplicates nor too short. `shingles(numbers)` returns the `shingle_sets`
    of documents; it is called in ascending order with a bounded amount of text at a time. The
    document with the most characters of a cluster is kept; of equal ones, that with the smallest
    hash.

    Memory, apart from the arguments: up to 120 bytes a document (120 MB a million), most if all
    have copies, and a block of shingles (`BLOCK_CHARACTERS`; at least two documents). A document is
    compared to one other at a time, so that no list of pairs is longer than N.
    """
    numbers = np.flatnonzero(candidates)
    numbers = numbers[np.lexsort((-sizes[numbers], ids[numbers, 1], ids[numbers, 0]))]
    own_sizes = sizes[numbers]
    roots = np.arange(len(numbers))  # the first document of each one's cluster
    for band in range(config.bands):
        members, buckets, is_in_large = _buckets(keys_by_band(band)[numbers])
        for _ in range(CENTRES):
            if len(members) == 0:
                break
            is_centre = np.diff(buckets, prepend=-1) != 0
            centres = members[is_centre][np.cumsum(is_centre) - 1]
            is_open = roots[members] != roots[centres]
            pairs = np.stack([centres[is_open], members[is_open]])
            alike = [
                block[:, _jaccard(numbers[block], shingles) >= config.min_jaccard]
                for block in _blocks(pairs, own_sizes[pairs].sum(axis=0))
            ]
            roots = _join(roots, np.concatenate([pairs[:, :0], *alike], axis=1))
            stays = ~is_centre & ~(is_in_large & (roots[members] == roots[centres]))
            members, buckets, is_in_large = members[stays], buckets[stays], is_in_large[stays]
    by_cluster = np.lexsort((-own_sizes, roots))  # stable: equal sizes stay in order of content
    kept = by_cluster[np.diff(roots[by_cluster], prepend=-1) != 0]
    kept_by_root = np.empty_like(roots)
    kept_by_root[roots[kept]] = numbers[kept]
    labels = np.arange(len(ids))
    labels[numbers] = kept_by_root[roots]
    return labels


def cluster_sizes(labels: Numbers) -> dict[int, int]:
    """Return the number of clusters of each size, ascending; 1 is a document without copies."""
    sizes, counts = np.unique(np.unique(labels, return_counts=True)[1], return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def _buckets(keys: Hashes) -> tuple[Numbers, Numbers, Mask]:
    """Return the documents that share a key with others, their buckets, and which are large.

    They are ordered by bucket, and by content within each.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([np.ones(1, bool), ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=len(keys)) if len(keys) else np.empty(0, np.int64)
    is_shared = np.repeat(counts > 1, counts)
    buckets = np.repeat(np.arange(len(counts)), counts)[is_shared]
    return order[is_shared], buckets, np.repeat(counts > CENTRES + 1, counts)[is_shared]


def _blocks(pairs: Numbers, sizes: Numbers) -> Iterator[Numbers]:
    """Yield `pairs` (2, P) in order, in blocks with `sizes` (P,) of about `BLOCK_CHARACTERS`."""
    block = (np.cumsum(sizes) - sizes) // BLOCK_CHARACTERS
    for part in np.split(pairs, np.flatnonzero(np.diff(block)) + 1, axis=1):
        if part.size:
            yield part


def _jaccard(
    pairs: Numbers, shingles: Callable[[Numbers], Sequence[Hashes]]
) -> NDArray[np.float64]:
    """Return (P,) the exact similarities of `pairs` (2, P) of documents."""
    documents, positions = np.unique(pairs, return_inverse=True)
    sets = shingles(documents)
    lengths = np.fromiter(map(len, sets), np.int64, len(sets))
    # Sets as sparse rows with a column for each hash: multiplying two rows merges their sorted
    # columns, in C, which gives the intersection. Columns are signed: one bit less.
    columns = (np.concatenate(sets) >> np.uint64(1)).astype(np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    ones = np.ones(len(columns), np.int8)
    matrix = sparse.csr_array((ones, columns, offsets), shape=(len(sets), np.iinfo(np.int64).max))
    matrix.has_canonical_format = True  # saves a check of the order
    first, second = positions.reshape(2, -1)
    common = np.diff(matrix[first].multiply(matrix[second]).indptr)
    # Two empty sets have nothing in common.
    similarity: NDArray[np.float64] = common / np.maximum(
        lengths[first] + lengths[second] - common, 1
    )
    return similarity


def _join(roots: Numbers, pairs: Numbers) -> Numbers:
    """Return `roots` (n,) after merging the clusters of each of `pairs` (2, P)."""
    touched, ends = np.unique(roots[pairs], return_inverse=True)
    if len(touched) == 0:
        return roots
    first, second = ends.reshape(2, -1)
    edges = sparse.coo_array(
        (np.ones(len(first), np.int8), (first, second)), shape=[len(touched)] * 2
    )
    _, components = csgraph.connected_components(edges, directed=False)
    _, smallest = np.unique(components, return_index=True)  # `touched` ascends
    moved = np.arange(len(roots))
    moved[touched] = touched[smallest[components]]
    return moved[roots]
