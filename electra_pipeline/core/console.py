"""Console output: logging as text or JSON lines, progress bars or progress lines, documents."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Console, OverflowMethod, RenderableType
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from electra_pipeline.core.progress import Progress, Update

logger = logging.getLogger(__name__)

LINE_SECONDS = 10.0  # between two progress lines of one stage in a log
DOCUMENT_CHARACTERS = 2000  # fills a screen: enough to judge a document


class JsonLines(logging.Formatter):
    """Formats each record as one line of JSON for log collectors; progress with its metrics."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        created = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": created.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": self._run,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(update := getattr(record, "update", None), Update):
            line |= {
                "stage": update.stage,
                **({"item": update.item} if update.item else {}),
                "done": update.done,
                "total": update.total,
                "unit": update.unit,
                "metrics": dict(update.metrics),
            }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up_logging(console: Console, json_run: str | None = None) -> None:
    """Log this package's messages, and only warnings of other libraries, to stderr.

    With `json_run`, the name of the run, log lines are JSON.
    """
    handler: logging.Handler
    if json_run is not None:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(JsonLines(json_run))
    elif console.is_terminal:  # rich wraps lines to the width, which a log file must not have
        handler = RichHandler(console=console, show_path=False, show_level=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("electra_pipeline").setLevel(logging.INFO)
    # It warns of a home directory that cannot be written, which it does not need.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


@contextmanager
def progress_display(console: Console, *, lines: bool = False) -> Iterator[Progress]:
    """Yield a `Progress` that draws bars on a terminal, and logs lines elsewhere or on request."""
    if lines or not console.is_terminal:
        yield LoggedProgress()
        return
    with _StageBars(
        SpinnerColumn("line" if console.options.ascii_only else "dots"),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        tasks: dict[str, TaskID] = {}
        item_lines = _LinesWithRate()

        def show(update: Update) -> None:
            if update.item:
                bars.items[update.item] = item_lines.line(update)
                if update.done >= update.total:
                    del bars.items[update.item]
                return
            if update.stage not in tasks:
                tasks[update.stage] = bars.add_task(update.stage, unit=update.unit, metrics="")
            bars.update(
                tasks[update.stage],
                completed=update.done,
                total=update.total,
                metrics=update.metrics_text(),
            )

        yield show


class _StageBars(Bars):
    """A bar for each stage, below them the metrics of the running one and a line for each item."""

    def __init__(self, *columns: Any, console: Console) -> None:
        self.items: dict[str, str] = {}
        self.overflow: OverflowMethod = "crop" if console.options.ascii_only else "ellipsis"
        super().__init__(*columns, console=console)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        running = [task for task in self.tasks if not task.finished and task.fields["metrics"]]
        metrics = [running[-1].fields["metrics"]] if running else []
        for line in (*metrics, *self.items.values()):
            yield Text(f"  {line}", style="dim", no_wrap=True, overflow=self.overflow)


class _LinesWithRate:
    """Formats updates as lines, with the rate since the first update of each step."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, ...], tuple[float, float]] = {}

    def line(self, update: Update) -> str:
        now = time.monotonic()
        first_time, first_done = self._first.setdefault(update.step, (now, update.done))
        return progress_line(update, update.done - first_done, now - first_time)


class LoggedProgress:
    """Logs the progress of each stage and item every `LINE_SECONDS`, and when it has finished."""

    def __init__(self) -> None:
        self._lines = _LinesWithRate()
        self._last: dict[str, float] = {}

    def __call__(self, update: Update) -> None:
        now = time.monotonic()
        line = self._lines.line(update)
        last = self._last.setdefault(update.name, now)
        if update.done < update.total and now - last < LINE_SECONDS:
            return
        self._last[update.name] = now
        logger.info(line, extra={"update": update})


def progress_line(update: Update, num_recent: float, seconds: float) -> str:
    """Return `pretrain 12/40 steps (30%), 3.2 steps/s, 9 s left`, followed by the metrics.

    `num_recent` units were done in the last `seconds`.
    """
    fraction = update.done / update.total if update.total else 1.0
    line = f"{update.name} {update.done:.0f}/{update.total:.0f} {update.unit} ({fraction:.0%})"
    if num_recent > 0 and seconds > 0:
        rate = num_recent / seconds
        line += f", {rate:.3g} {update.unit}/s"
        if update.done < update.total:
            line += f", {duration((update.total - update.done) / rate)} left"
    metrics = update.metrics_text()
    return f"{line}  {metrics}" if metrics else line


def duration(seconds: float) -> str:
    """Return a duration as `95 s`, `47 min` or `31.1 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_document(title: str, origin: str, text: str) -> None:
    """Print a document to stdout below its title and origin; only the beginning of a long one."""
    console = Console(highlight=False)
    console.rule(Text(f"{title.strip()}  {origin.strip()}"), align="left")
    console.print(Text(text[:DOCUMENT_CHARACTERS]), soft_wrap=not console.is_terminal)
    if (num_omitted := len(text) - DOCUMENT_CHARACTERS) > 0:
        console.print(Text(f"... {num_omitted:,} more characters", style="dim"))
    console.print()
