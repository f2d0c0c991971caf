"""Render results as a table, JSON, CSV, Markdown or LaTeX."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from electra_pipeline.results import pretraining
from electra_pipeline.results.aggregation import MODELS, ScoreLine, model_order, score_lines
from electra_pipeline.results.store import Row
from electra_pipeline.results.tables import paper_layout
from electra_pipeline.results.tables.text_table import (
    TextFormat,
    csv_text,
    json_text,
    render_table,
)

Format = Literal["table", "json", "csv", "markdown", "latex"]
Layout = Literal["long", "paper"]


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


def render_results(rows: Sequence[Row], format: Format, layout: Layout = "long") -> str:
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
            return json_text(list(rows))
        case "csv":
            return csv_text(rows)
        case "markdown" | "table" | "latex":
            shown = _paper(rows) if layout == "paper" else _long(rows)
            return "\n".join(each.draw(format) for each in shown)


def _are_summaries(rows: Iterable[Row]) -> bool:
    return all("median" in row for row in rows)


@dataclass
class _Table:
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

    def draw(self, format: TextFormat) -> str:
        notes = [f"({number}) {note}" for note, number in self.notes.items()]
        return render_table(self.header, self.lines, format, [*self.legend, *notes])


def _long(rows: Sequence[Row]) -> Iterator[_Table]:
    if not _are_summaries(rows):
        header = ["run", "task", "model", "split", "metric", "seed", "value", "examples", "trial"]
        yield _Table(
            header,
            [
                [f"{row[name]:.4f}" if name == "value" else str(row[name]) for name in header]
                for row in rows
            ],
        )
        return
    of_tasks, of_pretraining = pretraining.split(rows)
    if of_tasks or not of_pretraining:
        yield _side_by_side(score_lines(of_tasks))
    if of_pretraining:
        yield _Table(*pretraining.table(of_pretraining))


def _side_by_side(lines: Sequence[ScoreLine]) -> _Table:
    models = model_order(model for line in lines for model in line.scores) or list(MODELS)
    has_difference = any(line.difference is not None for line in lines)
    has_splits = any(line.split != "validation" for line in lines)
    shown = _Table(
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


def _paper(rows: Sequence[Row]) -> Iterator[_Table]:
    of_tasks, _ = pretraining.split(rows)
    columns = paper_layout.columns(of_tasks)
    models = paper_layout.models(of_tasks, columns)
    shown = _Table(
        ["run", "model", *(column.name for column in columns)],
        [],
        legend=paper_layout.legend(columns),
    )
    order = {model: position for position, model in enumerate(model_order(m.model for m in models))}
    for model in sorted(models, key=lambda m: (m.run, m.fingerprint, order[m.model])):
        cells = [
            shown.marked(column.text(model.scores), column.score(model.scores))
            for column in columns
        ]
        shown.lines.append([model.run, model.model, *cells])
    yield shown
