"""The configuration of the rules for single documents."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters import registry
from electra_pipeline.corpus.cleaning.filters.language_thresholds import find_thresholds
from electra_pipeline.corpus.cleaning.language_id import check_language


class DocumentRules(Config):
    """The rules for single documents: which are kept, and how they are cleaned."""

    language: str | None = None
    """Keep only documents in this language (ISO 639-1); null keeps every language."""
    language_min_score: float | None = Field(default=None, ge=0.0, le=1.0)
    """Least probability of that language; null takes the language's own threshold: 0.5 for most,
    lower where the model is less sure (language_thresholds.yaml in
    electra_pipeline/corpus/cleaning/filters/)."""
    min_characters: int = Field(default=50, ge=1)
    """Drop shorter documents. With fewer letters the language cannot be identified."""
    max_characters: int = Field(default=10_000_000, ge=1)
    """Drop longer documents: a whole collection in one record rather than a text."""
    filters: registry.Filters = ()
    """Filters that edit or drop documents, in order: web, wikipedia, books or none, or a list."""
    unescape_html: bool = True
    """Decode HTML entities that an extractor left, in documents without a `<`."""
    sample_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Fraction of the documents, chosen by content hash, that is processed: to try out rules."""
    samples_per_reason: int = Field(default=100, ge=0)
    """How many dropped documents, chosen at random, are stored for each reason."""

    @property
    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the documents, with defaults of the language."""
        others = self.model_dump(mode="json", include=set(DocumentRules.model_fields) - {"filters"})
        return others | {
            "filters": registry.identity(self.filters),
            "language_min_score": self.min_score,
        }

    @property
    def min_score(self) -> float:
        """Return the least probability of `language` at which a document is kept."""
        if self.language_min_score is not None:
            return self.language_min_score
        return find_thresholds(self.language).min_score

    @field_validator("language")
    @classmethod
    def _language_is_supported(cls, language: str | None) -> str | None:
        return None if language is None else check_language(language)

    @model_validator(mode="after")
    def _lengths_are_ordered(self) -> "DocumentRules":
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, more than max_characters "
                f"{self.max_characters}; nothing could be kept"
            )
        return self
