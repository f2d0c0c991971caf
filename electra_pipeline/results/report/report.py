"""The report of a run: one self-contained HTML file."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.results.aggregation import aggregate, model_order, score_lines
from electra_pipeline.results.learning_curves import LearningCurve
from electra_pipeline.results.pretraining import split
from electra_pipeline.results.report.charts import CHARTS, draw, draw_learning_curve
from electra_pipeline.results.report.corpus import summarize_corpus
from electra_pipeline.results.report.pages import environment
from electra_pipeline.results.store import Row
from electra_pipeline.results.tables import cost_table
from electra_pipeline.results.tables.results_table import difference_text, score_text
from electra_pipeline.storage.artifact import Artifact

METRICS_FILE = "metrics.jsonl"


def write_report(
    *,
    run_name: str,
    rows: Sequence[Row],
    artifacts: Mapping[str, Artifact],
    learning_curves: Sequence[LearningCurve] = (),
    errors: str | None = None,
    costs: Sequence[Row] = (),
) -> str:
    """Return the HTML of a run's report: results, curves, corpus, tokenizer, costs, artifacts.

    `artifacts` maps stage names to the artifacts that the model was made from; a snapshot replaces
    the pre-training. `learning_curves` are the scores of earlier checkpoints, `errors` is the URL
    of the error analysis page, `costs` are the run's rows of the costs table. A section without
    values is left out, or has a sentence in place of them.
    """
    pages = environment()
    pages.filters |= {
        "score": score_text,
        "difference": difference_text,
        "interval": lambda score: f"{100 * score['lower']:.1f} to {100 * score['upper']:.1f}",
    }
    of_tasks, _ = split(rows)  # the metrics of pre-training are read from its manifest
    lines = score_lines(aggregate(of_tasks))
    corpus, sequences = artifacts.get("corpus"), artifacts.get("sequences")
    tokenizer = artifacts.get("tokenizer")
    pretrain = artifacts.get("snapshot", artifacts.get("pretrain"))
    return pages.get_template("report.html.jinja").render(
        run_name=run_name,
        charts=_charts(pretrain),
        pretraining=_pretraining_values(pretrain),
        verdict=no_better_than_prior(pretrain.counters.get("held_out", {})) if pretrain else None,
        lines=lines,
        models=model_order(model for line in lines for model in line.scores),
        has_intervals=any(
            score["lower"] is not None for line in lines for score in line.scores.values()
        ),
        learning_curves=[(curve.title, draw_learning_curve(curve)) for curve in learning_curves],
        errors=errors,
        costs=[line[1:] for line in cost_table.lines(costs)],
        trials=sorted({(row["task"], row["model"], row["seed"], row["trial"]) for row in of_tasks}),
        corpus=summarize_corpus(corpus, sequences) if corpus is not None else None,
        tokenizer=tokenizer.counters if tokenizer is not None else None,
        artifacts=[each for each in (corpus, tokenizer, sequences, pretrain) if each],
    )


def _charts(pretrain: Artifact | None) -> list[tuple[str, str, str]]:
    """Return title, caption and SVG of each chart that has values."""
    if pretrain is None or METRICS_FILE not in pretrain.file_names():
        return []
    with pretrain.folder.open(METRICS_FILE) as file:
        lines = [orjson.loads(line) for line in file if line.strip()]
    drawn = ((chart, draw(chart, lines)) for chart in CHARTS)
    return [(chart.title, chart.caption, svg) for chart, svg in drawn if svg is not None]


def _pretraining_values(pretrain: Artifact | None) -> dict[str, Any]:
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
