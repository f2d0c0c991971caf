"""What the HTML pages have in common: escaping, and how numbers are written."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

MAX_LABEL_CHARACTERS = 24  # of a name that heads a row or a column


def environment() -> Environment:
    """Templates of this folder; whatever is put into them is escaped."""
    environment = Environment(
        loader=PackageLoader("electra_pipeline.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "cut": cut}
    return environment


def number(value: Any) -> str:
    """A count with thousands apart, or a measure to four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def cut(label: str) -> str:
    """A name that fits into a table's head."""
    is_long = len(label) > MAX_LABEL_CHARACTERS
    return f"{label[: MAX_LABEL_CHARACTERS - 1]}…" if is_long else label
