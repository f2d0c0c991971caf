"""Render a comparison of two models as text, JSON or CSV."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from electra_pipeline.results.statistics.comparison import Comparison, Line
from electra_pipeline.results.tables.results_table import Format
from electra_pipeline.results.tables.text_table import csv_text, json_text, render_table


def render_comparison(comparison: Comparison, format: Format) -> str:
    """Render scores in percent, differences in points; json and csv hold all values unrounded."""
    match format:
        case "json":
            value = {
                "a": asdict(comparison.a),
                "b": asdict(comparison.b),
                "lines": [_record(line) for line in comparison.lines],
                "left_out": comparison.left_out,
                "notes": comparison.notes,
            }
            return json_text(value)
        case "csv":
            models = {"a": comparison.a.name, "b": comparison.b.name}
            return csv_text(
                [
                    {**models, **_record(line), "seeds": " ".join(map(str, line.seeds))}
                    for line in comparison.lines
                ]
            )
        case "markdown" | "table" | "latex":
            header = ["task", "metric", "seeds", "A", "B", "A - B", "p", "+/=/-", "verdict"]
            left_out = (f"Left out: {each}." for each in comparison.left_out)
            notes = [*_legend(comparison), *comparison.notes, *left_out]
            return render_table(header, [_cells(line) for line in comparison.lines], format, notes)


def _record(line: Line) -> dict[str, Any]:
    return {**asdict(line), "verdict": line.verdict}


def _cells(line: Line) -> list[str]:
    task = line.task if line.split == "validation" else f"{line.task} {line.split}"
    interval = ""
    if line.lower is not None and line.upper is not None:
        interval = f" [{100 * line.lower:+.1f}, {100 * line.upper:+.1f}]"
    return [
        *(task, line.metric, str(len(line.seeds))),
        *(f"{100 * line.median_a:.1f}", f"{100 * line.median_b:.1f}"),
        f"{100 * line.difference:+.1f}{interval}",
        "-" if line.p_holm is None else "<.001" if line.p_holm < 0.001 else f"{line.p_holm:.3f}",
        f"{line.wins}/{line.ties}/{line.losses}",
        line.verdict,
    ]


def _legend(comparison: Comparison) -> Iterator[str]:
    yield f"A: {comparison.a}. B: {comparison.b}."
    num_known = sum(line.over_examples for line in comparison.lines)
    number = len(comparison.lines)
    num_tests = sum(line.p is not None for line in comparison.lines)
    varied = "seeds and examples" if num_known == number else "seeds"
    if 0 < num_known < number:
        varied = f"seeds, and examples in {num_known} of {number} lines"
    yield (
        "A and B: medians in percent. A - B: mean over seeds in points, with its 95 % interval "
        f"over {varied}. "
        f"p: Student's t, with Holm's correction for {num_tests} tests. "
        "+/=/-: number of seeds in which A is ahead, equal, behind."
    )
    fewest = min(comparison.lines, key=lambda line: len(line.seeds))
    yield (
        "The exact sign-flip test over seeds, which assumes no distribution, is in json and csv; "
        f"with {len(fewest.seeds)} seeds it cannot give less than "
        f"p = {fewest.p_sign_flip_smallest:.2g}."
    )
