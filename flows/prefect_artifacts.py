"""Prefect artifacts of a run: progress bars while it works, tables and charts at the end."""

import base64
import html
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.console import progress_line
from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.core.progress import Update
from electra_pipeline.results.tables import cost_table
from electra_pipeline.results.tables.results_table import render_results
from electra_pipeline.stages import Artifacts
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.folder import Folder

LINE_SECONDS = 5.0  # between two log lines of a stage: each is also a call to the server


class RunProgress:
    """A `Progress` for one task run: log lines with rate and time left, and a progress bar.

    If the server does not answer, the bar is not updated; the stage does not fail. `check_open` is
    called at each update and raises when the run was interrupted: a thread cannot be stopped from
    outside.
    """

    def __init__(
        self, check_open: Callable[[], None] = lambda: None, line_seconds: float = LINE_SECONDS
    ) -> None:
        self._check_open = check_open
        self._line_seconds = line_seconds
        self._logger = get_run_logger()
        self._started: dict[tuple[str, ...], tuple[float, float]] = {}
        self._shown_at = 0.0
        self._bar: UUID | None = None

    def __call__(self, update: Update) -> None:
        self._check_open()
        now = time.monotonic()
        is_first = update.step not in self._started
        started_at, done_before = self._started.setdefault(update.step, (now, update.done))
        is_last = update.done >= update.total
        if not (is_first or is_last) and now - self._shown_at < self._line_seconds:
            return
        self._shown_at = now
        line = progress_line(update, update.done - done_before, now - started_at)
        self._logger.info(line)
        percent = 100.0 * update.done / update.total if update.total else 100.0
        try:
            if self._bar is None:
                self._bar = cast(UUID, create_progress_artifact(percent, description=line))
            else:
                update_progress_artifact(self._bar, percent, description=line)
        except Exception as error:
            self._logger.warning("the progress bar was not updated: %s", error)


def artifact_key(kind: str, name: str) -> str:
    """Return a key that Prefect accepts (lower-case letters, digits, dashes): `results-my-run`."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


def show_model(config: PipelineConfig, made: Artifacts) -> None:
    """Create a markdown artifact with the model's path, metrics and corpus."""
    create_markdown_artifact(
        model_markdown(config, made["corpus"], made["pretrain"], made["publish"]),
        key=artifact_key("model", config.name),
        description=f"{config.name}: model, metrics, corpus",
    )


def show_results(
    config: PipelineConfig,
    rows: Sequence[Mapping[str, Any]],
    report: str,
    costs: Sequence[Mapping[str, Any]],
) -> None:
    """Create table artifacts of results and costs, and a markdown artifact of the report."""
    create_table_artifact(
        [results_row(row) for row in rows],
        key=artifact_key("results", config.name),
        description=f"{config.name}: medians over seeds",
    )
    create_table_artifact(
        [dict(zip(cost_table.HEADER, line, strict=True)) for line in cost_table.lines(costs)],
        key=artifact_key("costs", config.name),
        description=f"{config.name}: reserved CPUs and GPUs, times hours",
    )
    page = Folder(config.root).read_bytes(report.rsplit("/", 1)[-1]).decode()
    create_markdown_artifact(
        report_markdown(page, report, render_results(rows, "markdown")),
        key=artifact_key("report", config.name),
        description=f"{config.name}: learning curves and results; the whole report is {report}",
    )


def report_markdown(page: str, uri: str, results: str) -> str:
    """Return path or URI, results and charts of an HTML report as markdown.

    The path is text, not a link: a page of Prefect's server cannot open a local file.
    """
    shown = f"`{uri}`"
    if "://" not in uri:
        shown = f"`{Path(uri).absolute()}` on {platform.node()}"
    return "\n\n".join((f"The whole report, one HTML file: {shown}", results, *charts(page)))


def charts(page: str) -> list[str]:
    """Return the `<svg>` elements of an HTML page as images under their titles, on white."""
    images = []
    for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        label = re.search(r'aria-label="([^"]*)"', svg)
        title = html.unescape(label[1]) if label else "chart"
        white = svg.replace("<svg ", '<svg style="background: #fff" ', 1)
        data = base64.b64encode(white.encode()).decode()
        images.append(f"### {title}\n\n![](data:image/svg+xml;base64,{data})")
    return images


def results_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an aggregated row that fit on a screen, numbers to four digits."""
    columns = ("task", "metric", "split", "model", "median", "min", "max", "num_seeds", "examples")
    shown = {name.replace("num_", ""): row[name] for name in columns}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in shown.items()
    }


def model_markdown(
    config: PipelineConfig, corpus: Artifact, pretrained: Artifact, model: Artifact
) -> str:
    """Return two tables, pre-training and corpus, with each number from a manifest."""
    held_out = pretrained.counters["held_out"]
    verdict = no_better_than_prior(held_out)
    values = [
        ("model", f"`{model.folder}`"),
        ("pre-training", f"`{pretrained.folder}`"),
        ("steps", f"{pretrained.counters['steps']:,}"),
        ("tokens seen", f"{pretrained.counters['tokens_seen']:,}"),
        *(
            (f"{part} parameters", f"{count:,}")
            for part, count in pretrained.counters["parameters"].items()
        ),
        *(
            (f"held-out {metric}".replace("_", " "), f"{value:.4g}")
            for metric, value in held_out.items()
        ),
    ]
    parts = list(corpus.counters["documents"])
    sizes = [
        (unit, *(f"{corpus.counters[unit][part]:,}" for part in parts))
        for unit in ("documents", "words", "characters", "bytes")
    ]
    return "\n\n".join(
        (
            f"# {config.name}",
            *([f"**Not trained enough to be of use:** {verdict}."] if verdict else []),
            markdown_table(("", "value"), values),
            "## Corpus",
            markdown_table(("", *(part.replace("_", "-") for part in parts)), sizes),
        )
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a GitHub markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
