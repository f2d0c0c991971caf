"""Clean one document: repair its text, identify its language, apply the filters."""

from collections.abc import Mapping
from typing import NamedTuple

from electra_pipeline.corpus.cleaning.config import DocumentRules
from electra_pipeline.corpus.cleaning.filters import registry
from electra_pipeline.corpus.cleaning.language_id import identify
from electra_pipeline.corpus.cleaning.text import clean
from electra_pipeline.corpus.sources.documents import RawDocument


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
    if raw.problem is not None:  # its reader could not read it
        return Document(raw.text, raw.url, None, raw.problem, raw.value, {})
    text, repairs = clean(raw.text, unescape_html=rules.unescape_html)
    if raw.is_truncated:
        repairs = {**repairs, "truncated_documents": 1}
    if reason := _wrong_length(text, rules):
        return Document(text, raw.url, None, reason, str(len(text)), repairs)
    identified = identify(text)
    language, wanted = identified.code, rules.language
    # A document with too few letters to identify its language is kept.
    if wanted and language and (language != wanted or identified.score < rules.min_score):
        value = f"{language} {identified.score:.2f}"
        return Document(text, raw.url, language, "language", value, repairs)
    text, rejection, edits = registry.apply(rules.filters, text, raw.url, language)
    repairs = {**repairs, **edits}
    if rejection is not None:
        return Document(text, raw.url, language, rejection.reason, rejection.value, repairs)
    reason = _wrong_length(text, rules)
    return Document(text, raw.url, language, reason, str(len(text)), repairs)


def _wrong_length(text: str, rules: DocumentRules) -> str | None:
    if not text:
        return "empty"
    if len(text) < rules.min_characters:
        return "too_short"
    return "too_long" if len(text) > rules.max_characters else None
