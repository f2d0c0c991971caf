"""The table layout of the ELECTRA paper: one row a model, one column a task, GLUE's average."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from electra_pipeline.results.store import Row

# Tables 1 and 2 of the paper: Spearman for STS-B, Matthews for CoLA, accuracy for the others, their
# average, and no WNLI. Questions by exact match (README of its code); chunks and names by F1.
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
HEADLINES = ("matthews", "spearman", "exact_match", "accuracy", "macro_f1", "f1")
CHUNKS = frozenset(("precision", "recall", "f1"))
MAIN_SPLIT = "validation"

Cell = tuple[str, str]
"""Task and split."""


@dataclass(frozen=True)
class Model:
    """A row: a model of a run, with its main score by task and split."""

    run: str
    model: str
    fingerprint: str
    scores: Mapping[Cell, Row]


@dataclass(frozen=True)
class Column:
    """A column: the main metric of one task, or the average of several."""

    name: str
    cells: tuple[Cell, ...]
    metric: str

    def score(self, scores: Mapping[Cell, Row]) -> Row | None:
        """Return the score of a task; None if it is missing or the column is an average."""
        return scores.get(self.cells[0]) if len(self.cells) == 1 else None

    def text(self, scores: Mapping[Cell, Row]) -> str:
        """Return the median in percent with the standard deviation over seeds; averages without."""
        found = [scores[cell] for cell in self.cells if cell in scores]
        if len(found) < len(self.cells):
            return "-"
        if len(found) > 1:
            return f"{100 * sum(score['median'] for score in found) / len(found):.1f}"
        (score,) = found
        spread = score["standard_deviation"]  # 0 for a baseline without seeds
        return f"{100 * score['median']:.1f}" + (f" ±{100 * spread:.1f}" if spread else "")


def headline(metrics: Iterable[str]) -> str:
    """Return the main metric among those of a task."""
    names = set(metrics)
    if names >= CHUNKS:
        return "f1"
    return next((name for name in HEADLINES if name in names), min(names))


def columns(summaries: Sequence[Row]) -> list[Column]:
    """Return a column for each task and split: GLUE in the paper's order, its average, others."""
    metrics: dict[Cell, set[str]] = {}
    for row in summaries:
        metrics.setdefault((row["task"], row["split"]), set()).add(row["metric"])
    glue = [(task, MAIN_SPLIT) for task in GLUE if (task, MAIN_SPLIT) in metrics]
    others = sorted(metrics.keys() - set(glue))

    def column(cell: Cell) -> Column:
        task, split = cell
        name = task if split == MAIN_SPLIT else f"{task} {split}"
        return Column(name, (cell,), headline(metrics[cell]))

    average = []
    if len(glue) > 1:
        name = "GLUE" if len(glue) == len(GLUE) else f"GLUE ({len(glue)} of {len(GLUE)})"
        average = [Column(name, tuple(glue), "average")]
    return [*map(column, glue), *average, *map(column, others)]


def models(summaries: Iterable[Row], columns: Iterable[Column]) -> list[Model]:
    """Return the models that have a score in any column."""
    wanted = {(*column.cells[0], column.metric) for column in columns if len(column.cells) == 1}
    found: dict[tuple[str, str, str], dict[Cell, Row]] = {}
    for row in summaries:
        if (row["task"], row["split"], row["metric"]) in wanted:
            key = (row["run"], row["model"], row["fingerprint"])
            found.setdefault(key, {})[row["task"], row["split"]] = row
    return [Model(*key, scores) for key, scores in found.items()]


def legend(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return the explanation below the table: metrics, median and spread."""
    tasks: dict[str, list[str]] = {}
    for column in columns:
        tasks.setdefault(column.metric, []).append(column.name)
    averages = tasks.pop("average", [])
    shown = "; ".join(f"{metric} of {', '.join(names)}" for metric, names in sorted(tasks.items()))
    average = f" {averages[0]} is the average of its tasks' medians." if averages else ""
    return (f"Medians over seeds in percent, ± standard deviation: {shown}.{average}",)
