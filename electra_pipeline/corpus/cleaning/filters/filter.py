"""The interface of a filter; `registry.py` lists all filters."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.text_view import TextView


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: str
    """A stable code, which the counters of a corpus use as a key."""
    value: str
    """The measured value that broke the rule."""


def above(reason: str, value: float, most: float, form: str = ".3f") -> Rejection | None:
    """Reject a value greater than `most`; `form` is its format."""
    return Rejection(reason, f"{value:{form}}") if value > most else None


def below(reason: str, value: float, least: float, form: str = ".3f") -> Rejection | None:
    """Reject a value less than `least`; `form` is its format."""
    return Rejection(reason, f"{value:{form}}") if value < least else None


class Filter(Config):
    """Rules for one document, with their configuration. A filter overrides `edit`, `check` or both.

    A new filter also needs a field `type: Literal["its_name"] = "its_name"` and an entry in
    `registry.AnyFilter`.
    """

    def edit(self, view: TextView) -> tuple[str, Mapping[str, int]]:
        """Return the edited text and the number of edits by kind."""
        return view.text, {}

    def reject(self, view: TextView, language: str | None) -> Rejection | None:
        """Return why a document in `language` (ISO 639-1) is dropped, or None to keep it."""
        return next(filter(None, self.check(view, language)), None)

    def check(self, view: TextView, language: str | None) -> Iterator[Rejection | None]:
        """Yield a rejection, or None, for each rule; those after the first rejection do not run."""
        return iter(())
