"""The results: recorded, summed up over seeds, shown as table, json, csv or markdown."""

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from electra_pipeline.evaluation.results import pretraining
from electra_pipeline.evaluation.results.store import KEY, Row, check, read, record, shown

__all__ = [
    "Format",
    "Line",
    "Row",
    "aggregate",
    "check",
    "compare",
    "grid",
    "read",
    "record",
    "render",
    "shown",
]

Format = Literal["table", "json", "csv", "markdown"]
TABLE_WIDTH = 1000  # characters; a table is never cut, not even in a pipe

MODELS = ("pretrained", "random", "majority")
NUMBERS = frozenset(  # columns that are aligned to the right
    (
        *("seed", "seeds", "value", "examples", *MODELS, "difference"),
        *("held-out sequences", *pretraining.HEADER),
    )
)


def aggregate(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Median, extremes and standard deviation over seeds, and the number of seeds, of each score.

    One row for each (run, model, fingerprint, task, metric, split), in the order of first sight.
    """
    names = [name for name in KEY if name != "seed"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    found = []
    for key, members in groups.items():
        values = [float(row["value"]) for row in members]
        found.append(
            {
                **dict(zip(names, key, strict=True)),
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                "num_seeds": len(values),
                "examples": max(int(row["examples"]) for row in members),
            }
        )
    return found


@dataclass(frozen=True)
class Line:
    """One score of a task: the pre-trained model, and the baselines beside it."""

    run: str
    fingerprint: str
    task: str
    metric: str
    split: str
    examples: int
    scores: Mapping[str, Row]
    """What `aggregate` says of each kind of model."""

    @property
    def num_seeds(self) -> int:
        """Seeds of the pre-trained model, or of the baseline where there is none."""
        for model in MODELS:
            if model in self.scores:
                return int(self.scores[model]["num_seeds"])
        return 0

    @property
    def difference(self) -> float | None:
        """Median of the pre-trained model minus that of the random one."""
        if "pretrained" not in self.scores or "random" not in self.scores:
            return None
        return float(self.scores["pretrained"]["median"] - self.scores["random"]["median"])


def compare(summaries: Iterable[Row]) -> list[Line]:
    """One line for each (run, fingerprint, task, metric, split), the models side by side."""
    names = ("run", "fingerprint", "task", "metric", "split")
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in summaries:
        groups.setdefault(tuple(row[name] for name in names), {})[row["model"]] = row
    return [
        Line(
            **dict(zip(names, key, strict=True)),
            examples=max(int(score["examples"]) for score in scores.values()),
            scores=scores,
        )
        for key, scores in sorted(groups.items(), key=lambda item: item[0])
    ]


def score_text(score: Row | None) -> str:
    """Median as a percentage with the extremes, such as `62.1 [58.9, 64.0]`."""
    if score is None:
        return "-"
    median = f"{100 * score['median']:.1f}"
    if score["num_seeds"] < 2 or score["min"] == score["max"]:
        return median
    return f"{median} [{100 * score['min']:.1f}, {100 * score['max']:.1f}]"


def difference_text(difference: float | None) -> str:
    """Points by which pre-training is ahead, with their sign."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def render(rows: Sequence[Row], format: Format) -> str:
    """Rows, or what `aggregate` makes of them, as text.

    json and csv hold what is given. table and markdown show rows as they are, and aggregates as
    percentages with the models side by side: the median over seeds, and the range of the seeds.
    What is known of pre-training itself follows as a table of its own.
    """
    match format:
        case "json":
            return orjson.dumps(list(rows), option=orjson.OPT_INDENT_2).decode() + "\n"
        case "csv":
            return _csv(rows)
        case "markdown" | "table":
            return "\n".join(grid(*table, format) for table in _tables(rows))


def grid(
    header: Sequence[str], lines: Sequence[Sequence[str]], format: Literal["table", "markdown"]
) -> str:
    """Lines of cells under a header; the columns in `NUMBERS` are aligned to the right."""
    return _markdown(header, lines) if format == "markdown" else _table(header, lines)


def _csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _tables(rows: Sequence[Row]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Column names and texts of each table to show."""
    if not all("median" in row for row in rows):
        header = ["run", "task", "model", "split", "metric", "seed", "value", "examples", "leg"]
        yield (
            header,
            [
                [f"{row[name]:.4f}" if name == "value" else str(row[name]) for name in header]
                for row in rows
            ],
        )
        return
    of_tasks, of_pretraining = pretraining.split(rows)
    if of_tasks or not of_pretraining:
        header = ["run", "task", "metric", "split", "examples", "seeds", *MODELS, "difference"]
        yield (
            header,
            [
                [
                    *(line.run, line.task, line.metric, line.split),
                    *(str(line.examples), str(line.num_seeds)),
                    *(score_text(line.scores.get(model)) for model in MODELS),
                    difference_text(line.difference),
                ]
                for line in compare(of_tasks)
            ],
        )
    if of_pretraining:
        yield pretraining.table(of_pretraining)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---:" if name in NUMBERS else "---" for name in header]]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: a task's name is no markup
    buffer = io.StringIO()
    Console(file=buffer, width=TABLE_WIDTH, color_system=None).print(table)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
