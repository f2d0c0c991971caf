"""The results: recorded, summed up over seeds, shown as table, json, csv or markdown."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from electra_pipeline.evaluation.database import KEY, Row, check, read, record

__all__ = ["Format", "Line", "Row", "aggregate", "check", "compare", "read", "record", "render"]

Format = Literal["table", "json", "csv", "markdown"]
TABLE_WIDTH = 160  # columns; wider than most terminals, so that nothing is cut in a pipe

HEADER = ("run", "task", "metric", "split", "examples", "seeds")
MODELS = ("pretrained", "random", "majority")


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


def compare(rows: Iterable[Row]) -> list[Line]:
    """One line for each (run, fingerprint, task, metric, split), the models side by side."""
    names = ("run", "fingerprint", "task", "metric", "split")
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in aggregate(rows):
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
    """The rows as text: json and csv as they are given, table and markdown compared by model.

    Scores in table and markdown are percentages: the median over seeds, and the range of the seeds.
    """
    match format:
        case "json":
            return orjson.dumps(list(rows), option=orjson.OPT_INDENT_2).decode() + "\n"
        case "csv":
            return _csv(rows)
        case "markdown":
            return _markdown(compare(rows))
        case "table":
            return _table(compare(rows))


def _csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def cells(line: Line) -> list[str]:
    """A line as texts, in the order of `HEADER`, `MODELS` and the difference."""
    return [
        *(line.run, line.task, line.metric, line.split, str(line.examples), str(line.num_seeds)),
        *(score_text(line.scores.get(model)) for model in MODELS),
        difference_text(line.difference),
    ]


def _markdown(lines: Sequence[Line]) -> str:
    header = [*HEADER, *MODELS, "difference"]
    rows = [header, ["---"] * len(header), *(map(_escaped, cells(line)) for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _table(lines: Sequence[Line]) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in HEADER:
        table.add_column(name, justify="right" if name in ("examples", "seeds") else "left")
    for name in (*MODELS, "difference"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*cells(line), style=None)
    buffer = io.StringIO()
    Console(file=buffer, width=TABLE_WIDTH, color_system=None).print(table)
    note = "Medians over seeds in percent, with [lowest, highest].\n"
    return (
        "\n".join(text.rstrip() for text in buffer.getvalue().splitlines()).strip("\n")
        + f"\n{note}"
    )
