"""The report of a run: one HTML file that needs nothing else, to be read, sent and kept."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.artifact import Artifact
from electra_pipeline.evaluation.results.charts import CHARTS, draw, draw_history
from electra_pipeline.evaluation.results.history import LearningCurve
from electra_pipeline.evaluation.results.pages import environment
from electra_pipeline.evaluation.results.pretraining import split
from electra_pipeline.evaluation.results.table import (
    MODELS,
    Line,
    Row,
    aggregate,
    compare,
    difference_text,
    score_text,
)
from electra_pipeline.prior import only_the_prior

METRICS_FILE = "metrics.jsonl"
NOTED = ("fingerprint", "task", "metric", "split", "model")  # what a note or an interval is about


def write_report(
    *,
    run_name: str,
    rows: Sequence[Row],
    pretrain: Artifact | None,
    corpus: Artifact | None,
    tokenizer: Artifact | None,
    history: Sequence[LearningCurve] = (),
    errors: str | None = None,
) -> str:
    """The HTML text of a run's report: curves, results, corpus, tokenizer, fingerprints.

    `history` are the scores of earlier checkpoints, `errors` the page about errors beside this one.
    What is None or empty is left out, and the report says so.
    """
    pages = environment()
    pages.filters |= {"score": score_text, "difference": difference_text}
    of_tasks, _ = split(rows)  # what is known of pre-training comes from its manifest
    lines = compare(aggregate(of_tasks))
    artifacts = [artifact for artifact in (corpus, tokenizer, pretrain) if artifact is not None]
    return pages.get_template("report.html.jinja").render(
        run_name=run_name,
        charts=_charts(pretrain),
        pretraining=_pretraining_facts(pretrain),
        verdict=only_the_prior(pretrain.counters.get("held_out", {})) if pretrain else None,
        lines=lines,
        models=models_of(lines),
        notes=notes_of(of_tasks),
        intervals=intervals_of(of_tasks),
        history=_history_charts(history),
        errors=errors,
        legs=sorted({(row["task"], row["model"], row["seed"], row["leg"]) for row in of_tasks}),
        corpus=corpus.counters if corpus is not None else None,
        drops=_drops(corpus),
        lengths=_lengths(corpus),
        tokenizer=tokenizer.counters if tokenizer is not None else None,
        artifacts=artifacts,
    )


def models_of(lines: Iterable[Line]) -> list[str]:
    """The models that any line has: pretrained, named ones, random, majority."""
    names = sorted({model for line in lines for model in line.scores})
    named = [name for name in names if name not in MODELS]
    first, *baselines = MODELS
    return [name for name in (first, *named, *baselines) if name in names]


def notes_of(rows: Iterable[Row]) -> dict[tuple[str, ...], list[str]]:
    """What is to be said of a score, by `NOTED`: each note with the seeds that have it."""
    seeds: dict[tuple[str, ...], dict[str, list[int]]] = {}
    for row in rows:
        if note := row.get("note"):
            key = tuple(str(row[name]) for name in NOTED)
            seeds.setdefault(key, {}).setdefault(str(note), []).append(int(row["seed"]))
    return {
        key: [f"{note} (seed {', '.join(map(str, sorted(of)))})" for note, of in notes.items()]
        for key, notes in seeds.items()
    }


def intervals_of(rows: Iterable[Row]) -> dict[tuple[str, ...], str]:
    """The interval of the median seed of a score, by `NOTED`, in percent; where rows have one."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.get("lower") is not None and row.get("upper") is not None:
            groups.setdefault(tuple(str(row[name]) for name in NOTED), []).append(row)
    found = {}
    for key, members in groups.items():
        members.sort(key=lambda row: (float(row["value"]), int(row["seed"])))
        middle = members[(len(members) - 1) // 2]
        found[key] = f"{100 * middle['lower']:.1f} to {100 * middle['upper']:.1f}"
    return found


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


def _drops(corpus: Artifact | None) -> Mapping[str, int]:
    """Dropped documents by reason, over all sources, most frequent first."""
    totals: dict[str, int] = {}
    for source in (corpus.counters["sources"] if corpus is not None else {}).values():
        for reason, count in source["dropped"].items():
            totals[reason] = totals.get(reason, 0) + count
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _lengths(corpus: Artifact | None) -> Mapping[str, int]:
    """Documents by length, without the lengths that none has."""
    counts = corpus.counters.get("documents_by_words", {}) if corpus is not None else {}
    return {lower: number for lower, number in counts.items() if number}
