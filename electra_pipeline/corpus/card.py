"""The corpus card (README.md): sources, sizes, dropped documents and examples of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from electra_pipeline.corpus.counters import total_of_sources
from electra_pipeline.corpus.sources.plan import Partition

CARD = "README.md"
SAMPLES_PER_REASON = 3
SAMPLE_CHARACTERS = 160


def render_card(
    name: str,
    counters: Mapping[str, Any],
    partitions: Sequence[Partition],
    samples: Sequence[Mapping[str, Any]],
) -> str:
    """Render the card as Markdown; equal arguments give equal bytes."""
    environment = Environment(
        loader=PackageLoader("electra_pipeline.corpus", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "code": lambda digest: f"`{digest}`"}
    rendered = environment.get_template("card.md.jinja").render(
        name=name,
        counters=counters,
        splits=list(counters["documents"]),
        digests=_digests(partitions),
        reasons=total_of_sources(counters, "dropped"),
        repairs=total_of_sources(counters, "repaired"),
        tables=_tables(counters),
        samples=_select(samples),
    )
    return re.sub(r"\n{3,}", "\n\n", rendered)


def _tables(counters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the title, header and rows of each table that has rows."""
    words = counters["words_by_language"]
    languages = [(code, number, words[code]) for code, number in counters["languages"].items()]
    lengths = [
        (f"{lower} to {2 * int(lower) - 1}", number)
        for lower, number in counters["documents_by_words"].items()
        if number
    ]
    clusters = counters.get("near_duplicate_clusters", {}).items()
    tasks = counters.get("contaminated_by_task", {}).items()
    tables = [
        ("Languages", ("language", "documents", "words"), languages),
        ("Length", ("words", "documents"), lengths),
        ("Near-duplicates", ("documents in a cluster", "clusters"), clusters),
        ("Evaluation examples", ("task", "documents that contain one"), tasks),
    ]
    return [table for table in tables if table[-1]]


def _digests(partitions: Sequence[Partition]) -> dict[str, list[str]]:
    """Return the digests of partitions by label; parts of one file have the same one."""
    digests: dict[str, dict[str, None]] = {}  # keys in order
    for partition in partitions:
        digests.setdefault(partition.label, {})[partition.digest] = None
    return {label: list(of_label) for label, of_label in digests.items()}


def _select(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a few samples of each reason, each on one line and escaped for Markdown."""
    shown: dict[str, set[str]] = {}
    selected = []
    for sample in samples:
        seen = shown.setdefault(sample["reason"], {""})
        if len(seen) <= SAMPLES_PER_REASON and sample["text"] not in seen:
            seen.add(sample["text"])
            text = " ".join(sample["text"].split())
            short = text[:SAMPLE_CHARACTERS] + ("..." if len(text) > SAMPLE_CHARACTERS else "")
            selected.append({**sample, "text": re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", short)})
    return selected


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
