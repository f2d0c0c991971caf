"""Render the costs table; `results/cost_recording.py` defines what is counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from electra_pipeline.results.store import Row
from electra_pipeline.results.tables.text_table import csv_text, json_text, render_table

HEADER = ("run", "stage", "attempts", "CPU hours", "GPU hours")
SECONDS = ("wall_seconds", "cpu_seconds", "gpu_seconds")


def by_stage(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the sums of each run and stage over its attempts, in order of appearance.

    In a flow each fine-tuning trial is an attempt of its own. Trials run at the same time, so
    their wall seconds add up to more than the elapsed time.
    """
    sums: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        of_stage = sums.setdefault((row["run"], row["stage"]), Counter())
        of_stage.update({"attempts": 1, **{name: row[name] for name in SECONDS}})
    return [{"run": run, "stage": stage, **total} for (run, stage), total in sums.items()]


def lines(rows: Iterable[Row]) -> list[list[str]]:
    """Return the cells under `HEADER`: a row for each stage and a total for each run."""
    all_stages = by_stage(rows)
    found = []
    for run in dict.fromkeys(each["run"] for each in all_stages):
        stages = [each for each in all_stages if each["run"] == run]
        sums = {name: sum(each[name] for each in stages) for name in ("attempts", *SECONDS)}
        for each in [*stages, {"stage": "all", **sums}]:
            hours = (f"{each[name] / 3600:.4g}" for name in ("cpu_seconds", "gpu_seconds"))
            found.append([run, each["stage"], f"{each['attempts']:,}", *hours])
    return found


def render_costs(rows: Sequence[Row], format: Any) -> str:
    """Render costs: json and csv hold every attempt, the other formats hours by stage."""
    if format == "json":
        return json_text([dict(row) for row in rows])
    if format == "csv":
        return csv_text(rows)
    return render_table(HEADER, lines(rows), format)
