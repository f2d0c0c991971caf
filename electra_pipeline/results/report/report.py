"""The report of a run: one HTML file that needs nothing else, to be read, sent and kept."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.results.learning_curves import LearningCurve
from electra_pipeline.results.pretraining import split
from electra_pipeline.results.report.charts import CHARTS, draw, draw_history
from electra_pipeline.results.report.corpus import corpus_facts
from electra_pipeline.results.report.pages import environment
from electra_pipeline.results.tables import cost_table
from electra_pipeline.results.tables.table import (
    Row,
    aggregate,
    compare,
    difference_text,
    models_of,
    score_text,
)
from electra_pipeline.storage.artifact import Artifact

METRICS_FILE = "metrics.jsonl"


def write_report(
    *,
    run_name: str,
    rows: Sequence[Row],
    pretrain: Artifact | None,
    corpus: Artifact | None,
    tokenizer: Artifact | None,
    sequences: Artifact | None = None,
    history: Sequence[LearningCurve] = (),
    errors: str | None = None,
    costs: Sequence[Row] = (),
) -> str:
    """The HTML text of a run's report: curves, results, corpus, tokenizer, fingerprints.

    The sequences are those of the corpus: only they know how many tokens its text has. `history`
    are the scores of earlier checkpoints, `errors` the page about errors beside this one, `costs`
    the rows of the run in the table of that name.
    What is None or empty is left out, and the report says so.
    """
    pages = environment()
    pages.filters |= {
        "score": score_text,
        "difference": difference_text,
        "interval": lambda score: f"{100 * score['lower']:.1f} to {100 * score['upper']:.1f}",
    }
    of_tasks, _ = split(rows)  # what is known of pre-training comes from its manifest
    lines = compare(aggregate(of_tasks))
    made = (corpus, tokenizer, sequences, pretrain)
    artifacts = [artifact for artifact in made if artifact is not None]
    return pages.get_template("report.html.jinja").render(
        run_name=run_name,
        charts=_charts(pretrain),
        pretraining=_pretraining_facts(pretrain),
        verdict=no_better_than_prior(pretrain.counters.get("held_out", {})) if pretrain else None,
        lines=lines,
        models=models_of(model for line in lines for model in line.scores),
        has_intervals=any(
            score["lower"] is not None for line in lines for score in line.scores.values()
        ),
        history=_history_charts(history),
        errors=errors,
        costs=[line[1:] for line in cost_table.lines(costs)],
        trials=sorted({(row["task"], row["model"], row["seed"], row["trial"]) for row in of_tasks}),
        corpus=corpus_facts(corpus, sequences) if corpus is not None else None,
        tokenizer=tokenizer.counters if tokenizer is not None else None,
        artifacts=artifacts,
    )


def _history_charts(curves: Iterable[LearningCurve]) -> list[tuple[str, str]]:
    titles = ((curve, f"{curve.task} {curve.metric}, {curve.split}") for curve in curves)
    return [(title, draw_history(curve, f"history of {title}")) for curve, title in titles]


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
