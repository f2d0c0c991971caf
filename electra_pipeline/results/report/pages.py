"""Template environment and number format of the HTML pages."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

MAX_LABEL_CHARACTERS = 24  # of a row or column header


def environment() -> Environment:
    """Return an environment for the templates of this folder; values are escaped."""
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
    """Format a count with thousands separators, another number to four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def cut(label: str) -> str:
    """Shorten a label to fit a table header."""
    is_long = len(label) > MAX_LABEL_CHARACTERS
    return f"{label[: MAX_LABEL_CHARACTERS - 1]}…" if is_long else label
