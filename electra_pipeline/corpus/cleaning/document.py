"""Clean one document: repair its text, identify its language, apply the filters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters import registry
from electra_pipeline.corpus.cleaning.filters.language_thresholds import find_thresholds
from electra_pipeline.corpus.cleaning.language_id import check_language, identify
from electra_pipeline.corpus.cleaning.text import clean
from electra_pipeline.corpus.sources.documents import RawDocument


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


class Document(NamedTuple):
    """A cleaned document, kept or dropped."""

    text: str
    url: str | None
    language: str | None
    reason: str | None
    """Why it is dropped; None if it is kept."""
    value: str
    """The measured value that broke the rule."""
    repairs: Mapping[str, int]
    """Number of repairs and edits by kind."""


def clean_document(raw: RawDocument, rules: DocumentRules) -> Document:
    """Clean a document, edit it by the filters and find the first rule that drops it.

    Lengths are checked before and again after the filters, which may leave little of a document.
    """
    return clean_documents([raw], rules)[0]


def clean_documents(raws: Sequence[RawDocument], rules: DocumentRules) -> list[Document]:
    """Clean several documents as `clean_document` does.

    Each step runs over all of them, as the language model is twice as fast if its tables are still
    in the processor's cache.
    """
    documents = [_repair(raw, rules) for raw in raws]
    for step in (_identify, _filter):
        documents = [each if each.reason else step(each, rules) for each in documents]
    return documents


def _repair(raw: RawDocument, rules: DocumentRules) -> Document:
    if raw.problem is not None:  # its reader could not read it
        return Document(raw.text, raw.url, None, raw.problem, raw.value, {})
    text, repairs = clean(raw.text, unescape_html=rules.unescape_html)
    if raw.is_truncated:
        repairs = {**repairs, "truncated_documents": 1}
    reason = _wrong_length(text, rules)
    return Document(text, raw.url, None, reason, str(len(text)), repairs)


def _identify(document: Document, rules: DocumentRules) -> Document:
    wanted, min_score = rules.language, rules.min_score if rules.language else 0.0
    language, score = identify(document.text, wanted, min_score)
    # A document with too few letters to identify its language is kept.
    if wanted and language and (language != wanted or score < min_score):
        value = f"{language} {score:.2f}"
        return document._replace(language=language, reason="language", value=value)
    return document._replace(language=language)


def _filter(document: Document, rules: DocumentRules) -> Document:
    text, url, language, _, _, repairs = document
    text, rejection, edits = registry.apply(rules.filters, text, url, language)
    repairs = {**repairs, **edits}
    if rejection is not None:
        return Document(text, url, language, rejection.reason, rejection.value, repairs)
    return Document(text, url, language, _wrong_length(text, rules), str(len(text)), repairs)


def _wrong_length(text: str, rules: DocumentRules) -> str | None:
    if not text:
        return "empty"
    if len(text) < rules.min_characters:
        return "too_short"
    return "too_long" if len(text) > rules.max_characters else None
