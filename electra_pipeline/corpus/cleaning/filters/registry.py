"""All filters, the presets made from them, and how a list of filters is applied to a document."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from electra_pipeline.corpus.cleaning.filters.blocklist import Blocklist
from electra_pipeline.corpus.cleaning.filters.c4 import C4Lines, C4Page
from electra_pipeline.corpus.cleaning.filters.filter import Rejection
from electra_pipeline.corpus.cleaning.filters.fineweb import FineWeb
from electra_pipeline.corpus.cleaning.filters.gopher import GopherQuality, GopherRepetition
from electra_pipeline.corpus.cleaning.filters.scrub import Scrub
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

# A new filter is added here; configuration, counters and card follow from it.
AnyFilter = Annotated[
    Blocklist | GopherRepetition | GopherQuality | C4Lines | C4Page | FineWeb | Scrub,
    Field(discriminator="type"),
]

PRESETS: Mapping[str, tuple[AnyFilter, ...]] = {
    # FineWeb's values (Penedo et al. 2024): C4 without the rule on the ends of lines. Its order,
    # except for the first two, which read the same text: the cheaper one runs first.
    "web": (
        GopherQuality(),
        GopherRepetition(),
        C4Lines(end_of_sentence=False),
        C4Page(),
        FineWeb(),
        Scrub(),
    ),
    # An encyclopedia's lists and formulas are wanted: no rule on lines or brackets.
    "wikipedia": (GopherQuality(), GopherRepetition()),
    # A novel has more words than the limit for a web page.
    "books": (GopherQuality(max_words=None), GopherRepetition()),
    "none": (),
}


def resolve_preset(given: Any) -> Any:
    """Return the filters of a preset for its name, and anything else unchanged.

    Raises ValueError that lists the presets for an unknown name.
    """
    if not isinstance(given, str):
        return given
    if given not in PRESETS:
        raise ValueError(
            f"no filters are named {given!r}; choose {', '.join(PRESETS)}, or list the filters"
        )
    return PRESETS[given]


Preset = Literal["web", "wikipedia", "books", "none"]
# With the input schema, forms and servers accept a preset's name, too.
Filters = Annotated[
    tuple[AnyFilter, ...],
    BeforeValidator(resolve_preset, json_schema_input_type=Preset | tuple[AnyFilter, ...]),
]


class Filtered(NamedTuple):
    """A document after the filters."""

    text: str
    """The edited text; of a rejected document, the text that the rejecting filter read."""
    rejection: Rejection | None
    """Why it is dropped; None if it is kept."""
    edits: Mapping[str, int]
    """Number of edits by kind, such as lines_without_end or emails."""


def apply(
    filters: Sequence[AnyFilter], text: str, url: str | None, language: str | None
) -> Filtered:
    """Run `filters` over a document in order, up to the first that rejects it.

    A blank text is returned unchanged. A document that an edit leaves empty is rejected as
    nothing_left.
    """
    if not text.strip():
        return Filtered(text, None, {})
    view = TextView(text, url)
    edits: Counter[str] = Counter()
    for each in filters:
        edited, counts = each.edit(view)
        edits.update(counts)
        if not edited:
            return Filtered(edited, Rejection("nothing_left", each.type), edits)
        if edited != view.text:
            view = TextView(edited, url)
        if rejection := each.reject(view, language):
            return Filtered(view.text, rejection, edits)
    return Filtered(view.text, None, edits)


def identity(filters: Sequence[AnyFilter]) -> list[dict[str, Any]]:
    """Return the filters' part of a corpus's identity: all settings but the URLs of list files."""
    return [
        each.model_dump(mode="json", exclude={"files": {"__all__": {"url"}}}) for each in filters
    ]
