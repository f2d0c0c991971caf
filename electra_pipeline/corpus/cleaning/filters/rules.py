"""The rules of a corpus in their order: a preset's name or a list, applied to one document."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from electra_pipeline.corpus.cleaning.filters.blocklist import Blocklist
from electra_pipeline.corpus.cleaning.filters.c4 import C4Lines, C4Page
from electra_pipeline.corpus.cleaning.filters.fineweb import FineWeb
from electra_pipeline.corpus.cleaning.filters.gopher import GopherQuality, GopherRepetition
from electra_pipeline.corpus.cleaning.filters.prose import Judgement, Prose
from electra_pipeline.corpus.cleaning.filters.scrub import Scrub

Filter = Annotated[
    Blocklist | GopherRepetition | GopherQuality | C4Lines | C4Page | FineWeb | Scrub,
    Field(discriminator="type"),
]

PRESETS: Mapping[str, tuple[Filter, ...]] = {
    # FineWeb's values (Penedo et al. 2024): C4 without the rule on the ends of lines. Its order but
    # for the first two, which judge the same text: the cheaper one goes first.
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
    # A novel has more words than a page of the web may have.
    "books": (GopherQuality(max_words=None), GopherRepetition()),
    "none": (),
}


def named_preset(given: Any) -> Any:
    """The rules of a preset for its name, else what was given. Raises ValueError with the names."""
    if not isinstance(given, str):
        return given
    if given not in PRESETS:
        raise ValueError(
            f"no filters are named {given!r}; choose {', '.join(PRESETS)}, or list the filters"
        )
    return PRESETS[given]


Preset = Literal["web", "wikipedia", "books", "none"]
# The schema of the input lets forms and servers take a name, too.
Filters = Annotated[
    tuple[Filter, ...],
    BeforeValidator(named_preset, json_schema_input_type=Preset | tuple[Filter, ...]),
]


class Filtered(NamedTuple):
    """What became of a document."""

    text: str
    """The text, edited; if it is judged, as the rule saw it."""
    judgement: Judgement | None
    """Why it is dropped; None: it is kept."""
    edits: Mapping[str, int]
    """How much was edited, by kind, such as lines_without_end or emails."""


def apply(filters: Sequence[Filter], text: str, url: str | None, language: str | None) -> Filtered:
    """Run `filters` over a document in their order, up to the first that drops it.

    A blank text is not judged. One of which an edit leaves nothing is dropped as nothing_left.
    """
    if not text.strip():
        return Filtered(text, None, {})
    prose = Prose(text, url)
    edits: Counter[str] = Counter()
    for rule in filters:
        if isinstance(rule, C4Lines | Scrub):
            edited, counts = rule.edit(prose)
            edits.update(counts)
            if not edited:
                return Filtered(edited, Judgement("nothing_left", rule.type), edits)
            if edited != prose.text:
                prose = Prose(edited, url)
        elif judgement := rule.judge(prose, language):
            return Filtered(prose.text, judgement, edits)
    return Filtered(prose.text, None, edits)


def identity(filters: Sequence[Filter]) -> list[dict[str, Any]]:
    """What of the rules shapes the documents, wherever the lists lie that they read."""
    return [
        rule.model_dump(mode="json", exclude={"files": {"__all__": {"url"}}}) for rule in filters
    ]
