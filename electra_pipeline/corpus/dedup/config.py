"""The configuration of the rules that compare documents with others or with evaluation data."""

from typing import Literal

from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.files import FileReference
from electra_pipeline.inputs.formats import Format


class RepeatedLines(Config):
    """Which lines are boilerplate."""

    unit: Literal["line", "paragraph"] = "line"
    """What is compared: lines, or paragraphs (separated by blank lines)."""
    min_documents: int = Field(default=7, ge=2)
    """Remove lines that at least so many documents have. Llama 3 removed those seen more than 6
    times in 30 million documents (Dubey et al. 2024, section 3.1.1)."""
    min_characters: int = Field(default=20, ge=1)
    """Keep shorter lines, which dialogue, verse and headings repeat. The value is our choice."""


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


class Decontamination(Config):
    """Which documents count as containing an example of evaluation data."""

    ngram_words: int = Field(default=13, ge=1)
    """A document contains an example if it has so many consecutive words of it; 13 is GPT-3's. In
    scripts without spaces, twice as many characters are needed."""
    min_words: int = Field(default=8, ge=1)
    """A document must have all words of an example with fewer words than `ngram_words`. Examples
    with fewer words than this are ignored, as they occur by chance; 8 is GPT-3's minimum."""
    max_documents: int | None = Field(default=10, ge=1)
    """A word sequence that more documents have is a common phrase or a legal notice and does not
    count; 10 is GPT-3's, null counts every sequence."""
    tasks: bool = True
    """Whether to include the tasks that the same configuration fine-tunes on."""
    files: tuple[FileReference, ...] = ()
    """More evaluation data: paths, URLs or patterns; a file's name is the name of its task."""
    text_columns: tuple[str, ...] = Field(default=("text",), min_length=1)
    """Columns with an example's texts; each record needs one of them. In a text file, each line is
    an example. In a list, such as answers to choose from, each item is a text."""
    format: Format = "auto"
    """Format of the files; auto uses the name's suffix (.txt, .jsonl, .csv, .parquet, ...)."""

    @model_validator(mode="after")
    def _lengths_are_ordered(self) -> "Decontamination":
        if self.min_words > self.ngram_words:
            raise ValueError(
                f"min_words is {self.min_words}, more than ngram_words {self.ngram_words}; "
                "lower it, or raise ngram_words"
            )
        return self
