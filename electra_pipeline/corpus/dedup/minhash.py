"""MinHash signatures of documents, for the search for near-duplicates.

Broder 1997, with the parameters of FineWeb (Penedo et al. 2024).
"""

from array import array
from collections.abc import Sequence

import numpy as np
import rensa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.dedup.shingles import Rows, ngrams, plain_words
from electra_pipeline.corpus.word_hashes import MULTIPLIER, Hashes

# Part of an artifact's identity, as another algorithm finds other pairs. The first number is raised
# whenever words, shingles or keys change; the second is the version of rensa's MinHash.
SIGNATURE_VERSION = (2, rensa.RMinHash.ALGORITHM_VERSION)
SEED = 42  # arbitrary; another seed finds other pairs


class NearDuplicates(Config):
    """When two documents count as copies of each other although some words differ.

    A pair of Jaccard similarity s becomes a candidate with probability 1 - (1 - s^rows)^bands, 0.05
    at 0.5, 0.56 at 0.7, 0.92 at 0.8 and 0.9996 at 0.9 with the defaults, which are FineWeb's.
    """

    bands: int = Field(default=14, ge=1)
    """Number of keys of a document; two documents with a key in common are candidates."""
    rows: int = Field(default=8, ge=1)
    """Number of hashes in a key."""
    shingle_words: int = Field(default=5, ge=1)
    """Documents are compared as sets of so many consecutive words, or characters in scripts without
    spaces; shorter documents are never near-duplicates."""
    min_jaccard: float = Field(default=0.7, gt=0.0, le=1.0)
    """Least exact Jaccard similarity of the sets of a pair. FineWeb joins all candidates. 0.7 is
    slightly below (1/bands)^(1/rows) = 0.72, where candidates become likely."""

    @model_validator(mode="after")
    def _candidates_are_found(self) -> "NearDuplicates":
        found = 1 - (1 - self.min_jaccard**self.rows) ** self.bands
        if found < 0.1:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows would find {found:.0%} of the pairs at "
                f"min_jaccard {self.min_jaccard}; give more bands or fewer rows"
            )
        return self


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
