"""Near-duplicates: MB/s, recall and precision beside datasketch and datatrove, one process each.

The input is texts, the output clusters. datasketch is used as in its documentation
(`MinHash.update_batch`, then `MinHashLSH` with the same bands and rows, each document queried and
inserted). Only the first of datatrove's four steps is run, which computes the signatures, with
words separated by white space instead of spaCy's, which take most of its time. Both are skipped if
they are not installed:

    pip install datasketch==2.0.0
    pip install datatrove==0.10.1

Every fourth document is followed by a copy with up to 6 % of its words replaced. All tools get the
same documents, in turn. The truth is the exact Jaccard similarity of all pairs, from a product of
sparse matrices. Recall is the fraction of pairs at or above `min_jaccard` that are in one cluster;
precision is the fraction of clustered documents that have such a pair in their cluster.

    python benchmarks/near_duplicates.py --documents 5000 --rounds 3
    python benchmarks/near_duplicates.py --input 'news/*.jsonl.zst' --rounds 3
"""

import argparse
import importlib.util
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from electra_pipeline.corpus.cleaning.text import content_id
from electra_pipeline.corpus.dedup.config import NearDuplicates
from electra_pipeline.corpus.dedup.minhash import band_keys, shingle_sets
from electra_pipeline.corpus.dedup.near_duplicates import find
from electra_pipeline.inputs.files import expand, fetch
from electra_pipeline.inputs.records import read_records

CONFIG = NearDuplicates()
NUM_HASHES = CONFIG.bands * CONFIG.rows
WORD = re.compile(r"\w+")
BATCH_DOCUMENTS = 1024
LETTERS = str.maketrans("0123456789abcdef", "etaoinshrdlucmfw")
COPY_EVERY, MAX_REPLACED = 4, 0.06

Labels = NDArray[np.int64]
Job = Callable[[Sequence[str]], tuple[Labels, dict[str, float]]]
"""Takes texts; returns the number of each one's cluster, and seconds by step."""


def ours(texts: Sequence[str]) -> tuple[Labels, dict[str, float]]:
    # The corpus knows these before it looks for near-duplicates.
    digests = bytes.fromhex("".join(map(content_id, texts)))
    ids = np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    started = time.perf_counter()
    batches = [
        band_keys(CONFIG, texts[start : start + BATCH_DOCUMENTS])
        for start in range(0, len(texts), BATCH_DOCUMENTS)
    ]
    keys = np.concatenate([keys for keys, _ in batches])
    is_too_short = np.concatenate([mask for _, mask in batches])
    signed = time.perf_counter()
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    labels = find(
        CONFIG,
        lambda band: keys[:, band],
        ids,
        sizes,
        lambda numbers: shingle_sets(CONFIG, [texts[number] for number in numbers]),
        ~is_too_short,
    )
    return labels, {"signatures": signed - started, "search": time.perf_counter() - signed}


def datasketch(texts: Sequence[str]) -> tuple[Labels, dict[str, float]]:
    from datasketch import MinHash, MinHashLSH

    started = time.perf_counter()
    sketches = []
    for text in texts:
        words = WORD.findall(text.lower())
        n = CONFIG.shingle_words
        shingles = [" ".join(words[i : i + n]).encode() for i in range(len(words) - n + 1)]
        sketch = MinHash(NUM_HASHES)
        if shingles:
            sketch.update_batch(shingles)
        sketches.append(sketch if shingles else None)
    signed = time.perf_counter()
    index = MinHashLSH(num_perm=NUM_HASHES, params=(CONFIG.bands, CONFIG.rows))
    edges = []
    for number, sketch in enumerate(sketches):
        if sketch is not None:
            edges += [(number, other) for other in index.query(sketch)]
            index.insert(number, sketch)
    labels = clusters(len(texts), edges)
    return labels, {"signatures": signed - started, "search": time.perf_counter() - signed}


def datatrove(texts: Sequence[str]) -> tuple[Labels, dict[str, float]]:
    """Compute signatures with datatrove; its other steps are replaced by a dictionary."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            raise NotImplementedError

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    with tempfile.TemporaryDirectory() as place:
        # Its default hash does not run with xxhash 4.
        config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1"))
        step = MinhashDedupSignature(place, config, Words())
        started = time.perf_counter()
        step.run([Document(text=text, id=str(number)) for number, text in enumerate(texts)])
        signed = time.perf_counter()
        fields = [("key", "<u8", config.hashes_per_bucket), ("document", "<u4")]
        first: dict[tuple[int, bytes], int] = {}
        edges = []
        for band in range(config.num_buckets):
            records = np.fromfile(f"{place}/bucket_{band:03d}/00000.minhash.sig", np.dtype(fields))
            for key, document in zip(records["key"], records["document"].tolist(), strict=True):
                edges.append((document, first.setdefault((band, key.tobytes()), document)))
    return clusters(len(texts), edges), {"signatures": signed - started}


def clusters(num_documents: int, edges: Sequence[tuple[int, int]]) -> Labels:
    first, second = np.array(edges, np.int64).reshape(-1, 2).T
    shape = (num_documents, num_documents)
    graph = sparse.coo_array((np.ones(len(first), np.int8), (first, second)), shape=shape)
    return csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def exact_pairs(texts: Sequence[str]) -> Labels:
    """Return (2, P) all pairs of documents at or above `min_jaccard`."""
    sets = shingle_sets(CONFIG, texts)
    sizes = np.fromiter(map(len, sets), np.int64, len(sets))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    columns = np.unique(np.concatenate(sets), return_inverse=True)[1]
    matrix = sparse.csr_array((np.ones(len(columns), np.int32), columns, offsets))
    transposed = matrix.T.tocsr()
    found = []
    for start in range(0, len(texts), 200):
        common = (matrix[start : start + 200] @ transposed).tocoo()
        first, second = common.row.astype(np.int64) + start, common.col.astype(np.int64)
        similarity = common.data / (sizes[first] + sizes[second] - common.data)
        is_pair = (similarity >= CONFIG.min_jaccard) & (first < second)
        found.append(np.stack([first[is_pair], second[is_pair]]))
    return np.concatenate(found, axis=1)


def quality(labels: Labels, pairs: Labels) -> tuple[float, float]:
    """Return the recall of pairs and the precision of clustered documents."""
    is_joined = labels[pairs[0]] == labels[pairs[1]]
    has_partner = np.zeros(len(labels), dtype=bool)
    has_partner[pairs[:, is_joined]] = True
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return float(is_joined.mean()), float(has_partner[counts[index] > 1].mean())


def word(rank: int) -> str:
    """Return a word of letters only, since datatrove treats all numbers as equal."""
    return rank.to_bytes(4, "big").lstrip(b"\0").hex().translate(LETTERS)


def with_copies(texts: Sequence[str], seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    result = []
    for number, text in enumerate(texts):
        result.append(text)
        if number % COPY_EVERY == 0:
            words = text.split(" ")
            is_replaced = random.random(len(words)) < random.uniform(0, MAX_REPLACED)
            copy = (
                word(int(random.integers(10**6))) if replaced else old
                for old, replaced in zip(words, is_replaced.tolist(), strict=True)
            )
            result.append(" ".join(copy))
    return result


def generated(number: int, seed: int = 1) -> list[str]:
    """Generate texts of 50 to 600 words, distributed as in languages (Zipf's law)."""
    random = np.random.default_rng(seed)
    texts = []
    for length in random.integers(50, 600, number):
        ranks = np.minimum(random.zipf(1.3, length), 10**6)
        texts.append(" ".join(map(word, ranks.tolist())))
    return texts


def read(patterns: Sequence[str], column: str) -> list[str]:
    records = (
        record
        for pattern in patterns
        for file in expand(pattern)
        for record in read_records(fetch(file))
    )
    return [record[column] for record in records if len(record[column]) >= 200]


def megabytes(texts: Sequence[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="*", default=[], help="files of documents, any format")
    parser.add_argument("--column", default="text")
    parser.add_argument("--documents", type=int, default=5000, help="at most, before copies")
    parser.add_argument("--datatrove-documents", type=int, default=300, help="the first so many")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts = read(arguments.input, arguments.column) if arguments.input else None
    texts = with_copies((texts or generated(arguments.documents))[: arguments.documents])
    few = texts[: arguments.datatrove_documents]
    jobs: dict[str, tuple[Job, Sequence[str]]] = {"ours": (ours, texts)}
    if importlib.util.find_spec("datasketch"):
        jobs["datasketch"] = (datasketch, texts)
    if importlib.util.find_spec("datatrove"):
        jobs["datatrove"] = (datatrove, few)
    ours(texts[:10])  # loads what is loaded once
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in jobs}
    labels: dict[str, Labels] = {}
    for _ in range(arguments.rounds):
        for name, (job, given) in jobs.items():
            labels[name], seconds = job(given)
            if len(seconds) > 1:
                seconds["whole job"] = sum(seconds.values())
            for step, taken in seconds.items():
                rates[name].setdefault(step, []).append(megabytes(given) / taken)
    pairs = exact_pairs(texts)
    print(
        f"{len(texts):,} documents, {megabytes(texts):.1f} MB, {pairs.shape[1]:,} pairs at or "
        f"above {CONFIG.min_jaccard}; {arguments.rounds} rounds"
    )
    for name, (_, given) in jobs.items():
        for step, values in rates[name].items():
            ratios = [a / b for a, b in zip(rates["ours"][step], values, strict=True)]
            print(
                f"{name:10} {step:10} {statistics.median(values):7.2f} MB/s "
                f"(min {min(values):.2f}, max {max(values):.2f}); ours is "
                f"{statistics.median(ratios):.1f} times as fast"
            )
        among = pairs[:, (pairs < len(given)).all(axis=0)]
        recall, precision = quality(labels[name], among)
        print(
            f"{name:10} recall {recall:.4f}, precision {precision:.4f} ({among.shape[1]:,} pairs)"
        )


if __name__ == "__main__":
    main()
