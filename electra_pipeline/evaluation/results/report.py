"""The report of a run: one HTML file that needs nothing else, to be read, sent and kept."""

from collections.abc import Sequence
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from electra_pipeline.artifact import Artifact
from electra_pipeline.evaluation.results.charts import CHARTS, draw
from electra_pipeline.evaluation.results.corpus import corpus_facts
from electra_pipeline.evaluation.results.pretraining import split
from electra_pipeline.evaluation.results.table import (
    Row,
    aggregate,
    compare,
    difference_text,
    score_text,
)
from electra_pipeline.prior import only_the_prior

METRICS_FILE = "metrics.jsonl"


def write_report(
    *,
    run_name: str,
    rows: Sequence[Row],
    pretrain: Artifact | None,
    corpus: Artifact | None,
    tokenizer: Artifact | None,
    sequences: Artifact | None = None,
) -> str:
    """The HTML text of a run's report: curves, results, corpus, tokenizer, fingerprints.

    The sequences are those of the corpus: only they know how many tokens its text has.

    What is None or empty is left out, and the report says so.
    """
    environment = Environment(
        loader=PackageLoader("electra_pipeline.evaluation.results", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score_text, "difference": difference_text, "number": number}
    of_tasks, _ = split(rows)  # what is known of pre-training comes from its manifest
    made = (corpus, tokenizer, sequences, pretrain)
    artifacts = [artifact for artifact in made if artifact is not None]
    return environment.get_template("report.html.jinja").render(
        run_name=run_name,
        charts=_charts(pretrain),
        pretraining=_pretraining_facts(pretrain),
        verdict=only_the_prior(pretrain.counters.get("held_out", {})) if pretrain else None,
        lines=compare(aggregate(of_tasks)),
        legs=sorted({(row["task"], row["model"], row["seed"], row["leg"]) for row in of_tasks}),
        corpus=corpus_facts(corpus, sequences) if corpus is not None else None,
        tokenizer=tokenizer.counters if tokenizer is not None else None,
        artifacts=artifacts,
    )


def number(value: Any) -> str:
    """A count with thousands apart, or a measure to four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _charts(pretrain: Artifact | None) -> list[tuple[str, str, str]]:
    """Title, caption and SVG of each learning curve that can be drawn."""
    if pretrain is None or METRICS_FILE not in pretrain.file_names():
        return []
    with pretrain.folder.open(METRICS_FILE) as file:
        lines = [orjson.loads(line) for line in file if line.strip()]
    drawn = ((chart, draw(chart, lines)) for chart in CHARTS)
    return [(chart.title, chart.caption, svg) for chart, svg in drawn if svg is not None]


def _pretraining_facts(pretrain: Artifact | None) -> dict[str, Any]:
    if pretrain is None:
        return {}
    counters = pretrain.counters
    parameters = {
        f"{part} parameters": count for part, count in counters.get("parameters", {}).items()
    }
    held_out = {
        f"held-out {metric.replace('_', ' ')}": value
        for metric, value in counters.get("held_out", {}).items()
    }
    return {
        "steps": counters.get("steps", "unknown"),
        "tokens seen": counters.get("tokens_seen", "unknown"),
        **parameters,
        **held_out,
    }
