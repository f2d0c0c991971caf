"""Render the costs table; `results/cost_recording.py` defines what is counted."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from electra_pipeline.results.store import Row
from electra_pipeline.results.tables.text_table import csv_text, render_table

HEADER = ("run", "stage", "attempts", "CPU hours", "GPU hours")
SECONDS = ("wall_seconds", "cpu_seconds", "gpu_seconds")


def by_stage(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the sums of each run and stage over its attempts, in order of appearance.

    In a flow each fine-tuning trial is an attempt of its own. Trials run at the same time, so
    their wall seconds add up to more than the elapsed time.
    """
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        empty = {"run": row["run"], "stage": row["stage"], "attempts": 0}
        of_stage = sums.setdefault((row["run"], row["stage"]), empty | dict.fromkeys(SECONDS, 0.0))
        of_stage["attempts"] += 1
        for name in SECONDS:
            of_stage[name] += row[name]
    return list(sums.values())


def lines(rows: Iterable[Row]) -> list[list[str]]:
    """Return the cells under `HEADER`: a row for each stage and a total for each run."""
    by_run: dict[str, list[dict[str, Any]]] = {}
    for of_stage in by_stage(rows):
        by_run.setdefault(of_stage["run"], []).append(of_stage)
    found = []
    for run, stages in by_run.items():
        sums = {name: sum(each[name] for each in stages) for name in ("attempts", *SECONDS)}
        for each in [*stages, {"stage": "all", **sums}]:
            hours = (f"{each[name] / 3600:.4g}" for name in ("cpu_seconds", "gpu_seconds"))
            found.append([run, each["stage"], f"{each['attempts']:,}", *hours])
    return found


def render_costs(rows: Sequence[Row], format: Any) -> str:
    """Render costs: json and csv hold every attempt, the other formats hours by stage."""
    if format == "json":
        return orjson.dumps([dict(row) for row in rows], option=orjson.OPT_INDENT_2).decode() + "\n"
    if format == "csv":
        return csv_text([dict(row) for row in rows])
    return render_table(HEADER, lines(rows), format)
