"""The interface of a filter; `registry.py` lists all filters."""

from collections.abc import Mapping
from typing import NamedTuple

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.text_view import TextView


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: str
    """A stable code, which the counters of a corpus use as a key."""
    value: str
    """The measured value that broke the rule."""


class Filter(Config):
    """A rule for one document, with its configuration. A filter overrides one method or both.

    A new filter also needs a field `type: Literal["its_name"] = "its_name"` and an entry in
    `registry.AnyFilter`.
    """

    def edit(self, view: TextView) -> tuple[str, Mapping[str, int]]:
        """Return the edited text and the number of edits by kind."""
        return view.text, {}

    def reject(self, view: TextView, language: str | None) -> Rejection | None:
        """Return why a document in `language` (ISO 639-1) is dropped, or None to keep it."""
        return None
