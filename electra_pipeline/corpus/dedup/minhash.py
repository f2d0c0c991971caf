"""MinHash signatures of documents, for the search for near-duplicates.

Broder 1997, with the parameters of FineWeb (Penedo et al. 2024).
"""

from array import array
from collections.abc import Sequence

import numpy as np
import rensa
from numpy.typing import NDArray

from electra_pipeline.corpus.dedup.config import NearDuplicates
from electra_pipeline.corpus.dedup.shingles import Rows, ngrams, plain_words
from electra_pipeline.corpus.word_hashes import MULTIPLIER, Hashes

# Part of an artifact's identity, as another algorithm finds other pairs. The first number is raised
# whenever words, shingles or keys change; the second is the version of rensa's MinHash.
SIGNATURE_VERSION = (2, rensa.RMinHash.ALGORITHM_VERSION)
SEED = 42  # arbitrary; another seed finds other pairs


def band_keys(
    config: NearDuplicates, texts: Sequence[str]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return (texts, bands) uint64 keys, and (texts,) True if a text is too short to have any.

    Texts with a key in common in the same band are candidates. The keys of too short texts are
    undefined. Faster for some hundred texts at once than for single texts. Uses about 40 bytes of
    memory a word and 6 kB a text.
    """
    shingles = _shingles(config, texts)
    offsets = np.concatenate([np.zeros(1, np.int64), shingles.ends])
    num_hashes = config.bands * config.rows
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes, offsets, num_hashes, SEED
    )
    rows = [array("I", row) for row in matrix.to_rows()]  # twice as fast as a list of lists
    digests = np.array(rows, np.uint64).reshape(len(texts), config.bands, config.rows)
    keys = np.broadcast_to(np.arange(config.bands, dtype=np.uint64), digests.shape[:2]).copy()
    for row in range(config.rows):
        keys *= MULTIPLIER
        keys += digests[:, :, row]
    return keys, np.diff(offsets) == 0


def shingle_sets(config: NearDuplicates, texts: Sequence[str]) -> list[Hashes]:
    """Return the sorted, distinct shingle hashes of each text, which Jaccard compares."""
    shingles = _shingles(config, texts)
    return [np.unique(part) for part in np.split(shingles.hashes, shingles.ends[:-1])]


def _shingles(config: NearDuplicates, texts: Sequence[str]) -> Rows:
    return ngrams(plain_words(texts), config.shingle_words)
