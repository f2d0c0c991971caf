"""Clean one document: repair its text, identify its language, apply the filters."""

from collections.abc import Mapping, Sequence
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
