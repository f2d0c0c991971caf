"""Aggregate results over seeds and render them as a table, JSON, CSV, Markdown or LaTeX."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from electra_pipeline.results import pretraining
from electra_pipeline.results.store import KEY, Row, check, read, record, shown
from electra_pipeline.results.tables import paper
from electra_pipeline.results.tables.grid import Drawn, csv_text, grid

__all__ = [
    "Format",
    "Layout",
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

Format = Literal["table", "json", "csv", "markdown", "latex"]
Layout = Literal["long", "paper"]

MODELS = ("pretrained", "random", "majority")  # named baselines come after the first


def aggregate(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return median, minimum, maximum and standard deviation over seeds, and their number.

    `lower` and `upper` are the confidence interval over the examples of the median seed (of an even
    number of seeds, the lower middle one); `note` joins the rows' notes with their seeds. One row
    for each (run, model, fingerprint, task, metric, split), in order of appearance.
    """
    names = [name for name in KEY if name != "seed"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    found = []
    for key, members in groups.items():
        values = [float(row["value"]) for row in members]
        middle = sorted(members, key=lambda row: float(row["value"]))[(len(members) - 1) // 2]
        found.append(
            {
                **dict(zip(names, key, strict=True)),
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                "num_seeds": len(values),
                "lower": middle.get("lower"),
                "upper": middle.get("upper"),
                "examples": max(int(row["examples"]) for row in members),
                "note": noted(members),
            }
        )
    return found


def noted(rows: Iterable[Row]) -> str | None:
    """Return each note of the rows with the seeds that have it; None without notes."""
    seeds: dict[str, list[int]] = {}
    for row in rows:
        if row.get("note"):
            seeds.setdefault(row["note"], []).append(int(row["seed"]))
    return (
        "; ".join(
            f"{note} ({'seed' if len(of) == 1 else 'seeds'} {', '.join(map(str, sorted(of)))})"
            for note, of in seeds.items()
        )
        or None
    )


def models_of(names: Iterable[str]) -> list[str]:
    """Return models in the order of their columns: pretrained, named ones, random, majority."""
    found = set(names)
    first, *baselines = MODELS
    named = sorted(found - set(MODELS))
    return [name for name in (first, *named, *baselines) if name in found]


@dataclass(frozen=True)
class Line:
    """One score of a task: the pre-trained model and the baselines."""

    run: str
    fingerprint: str
    task: str
    metric: str
    split: str
    examples: int
    scores: Mapping[str, Row]
    """The aggregated row of each model."""

    @property
    def num_seeds(self) -> int:
        """Return the number of seeds of the pre-trained model, else of the first baseline."""
        first = models_of(self.scores)[0]
        return int(self.scores[first]["num_seeds"])

    @property
    def difference(self) -> float | None:
        """Return the median of the pre-trained model minus that of random weights."""
        if "pretrained" not in self.scores or "random" not in self.scores:
            return None
        return float(self.scores["pretrained"]["median"] - self.scores["random"]["median"])

    @property
    def standing(self) -> Literal["ahead", "behind"] | None:
        """Return whether every seed of the pre-trained model is above, or below, all of random."""
        if self.difference is None:
            return None
        ours, random = self.scores["pretrained"], self.scores["random"]
        if ours["min"] > random["max"]:
            return "ahead"
        return "behind" if ours["max"] < random["min"] else None


def compare(summaries: Iterable[Row]) -> list[Line]:
    """Return one line for each (run, fingerprint, task, metric, split) with all its models."""
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
    """Return median, minimum and maximum in percent, such as `62.1 [58.9, 64.0]`."""
    if score is None:
        return "-"
    median = f"{100 * score['median']:.1f}"
    if score["num_seeds"] < 2 or score["min"] == score["max"]:
        return median
    return f"{median} [{100 * score['min']:.1f}, {100 * score['max']:.1f}]"


def difference_text(difference: float | None) -> str:
    """Return the difference in percentage points with its sign."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def render(rows: Sequence[Row], format: Format, layout: Layout = "long") -> str:
    """Render rows, or the output of `aggregate`.

    json and csv hold the values as given. The other formats show rows unchanged and aggregates in
    percent. In the layout `long` each line is a score, with the median and range over seeds of
    every model; the metrics of pre-training follow in a table of their own. In the layout `paper`
    each line is a model. Raises ValueError if `paper` is combined with rows, json or csv.
    """
    if layout == "paper" and (format in ("json", "csv") or not _are_summaries(rows)):
        raise ValueError(
            f"--layout paper: not available for "
            f"{format if format in ('json', 'csv') else '--rows'}; leave out one of them"
        )
    match format:
        case "json":
            return orjson.dumps(list(rows), option=orjson.OPT_INDENT_2).decode() + "\n"
        case "csv":
            return csv_text(rows)
        case "markdown" | "table" | "latex":
            shown = _paper(rows) if layout == "paper" else _long(rows)
            return "\n".join(each.draw(format) for each in shown)


def _are_summaries(rows: Iterable[Row]) -> bool:
    return all("median" in row for row in rows)


@dataclass
class _Shown:
    """A table with numbered notes below."""

    header: list[str]
    lines: list[list[str]]
    notes: dict[str, int] = field(default_factory=dict)
    legend: tuple[str, ...] = ()

    def marked(self, text: str, score: Row | None) -> str:
        """Return the text of a cell followed by the number of the score's note, if it has one."""
        if score is None or not score.get("note"):
            return text
        note = f"{score['task']}, {score['model']}: {score['note']}"
        return f"{text} ({self.notes.setdefault(note, len(self.notes) + 1)})"

    def draw(self, format: Drawn) -> str:
        notes = [f"({number}) {note}" for note, number in self.notes.items()]
        return grid(self.header, self.lines, format, [*self.legend, *notes])


def _long(rows: Sequence[Row]) -> Iterator[_Shown]:
    if not _are_summaries(rows):
        header = ["run", "task", "model", "split", "metric", "seed", "value", "examples", "trial"]
        yield _Shown(
            header,
            [
                [f"{row[name]:.4f}" if name == "value" else str(row[name]) for name in header]
                for row in rows
            ],
        )
        return
    of_tasks, of_pretraining = pretraining.split(rows)
    if of_tasks or not of_pretraining:
        yield _side_by_side(compare(of_tasks))
    if of_pretraining:
        yield _Shown(*pretraining.table(of_pretraining))


def _side_by_side(lines: Sequence[Line]) -> _Shown:
    models = models_of(model for line in lines for model in line.scores) or list(MODELS)
    has_difference = any(line.difference is not None for line in lines)
    has_splits = any(line.split != "validation" for line in lines)
    shown = _Shown(
        [
            *("run", "task", "metric", *(["split"] if has_splits else []), "examples", "seeds"),
            *models,
            *(["difference"] if has_difference else []),
        ],
        [],
    )
    for line in lines:
        shown.lines.append(
            [
                *(line.run, line.task, line.metric, *([line.split] if has_splits else [])),
                *(str(line.examples), str(line.num_seeds)),
                *(
                    shown.marked(score_text(score), score)
                    for score in (line.scores.get(model) for model in models)
                ),
                *([difference_text(line.difference)] if has_difference else []),
            ]
        )
    return shown


def _paper(rows: Sequence[Row]) -> Iterator[_Shown]:
    of_tasks, _ = pretraining.split(rows)
    columns = paper.columns(of_tasks)
    models = paper.models(of_tasks, columns)
    shown = _Shown(
        ["run", "model", *(column.name for column in columns)], [], legend=paper.legend(columns)
    )
    order = {model: place for place, model in enumerate(models_of(m.model for m in models))}
    for model in sorted(models, key=lambda m: (m.run, m.fingerprint, order[m.model])):
        cells = [
            shown.marked(column.text(model.scores), column.score(model.scores))
            for column in columns
        ]
        shown.lines.append([model.run, model.model, *cells])
    yield shown
