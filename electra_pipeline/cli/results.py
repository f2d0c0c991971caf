"""Commands on results: tables, comparisons, costs, the HTML report, files for leaderboards."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from electra_pipeline.cli.options import Location

if TYPE_CHECKING:
    from electra_pipeline.storage.artifact import Artifact


def results(
    where: Location,
    format: Annotated[
        Literal["table", "json", "csv", "markdown", "latex"], typer.Option("--format")
    ] = "table",
    layout: Annotated[
        Literal["long", "paper"],
        typer.Option("--layout", help="A line for each score, or for each model as in papers."),
    ] = "long",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Two models, seed by seed: runs, models of one run, or RUN:MODEL.",
        ),
    ] = None,
    aggregate: Annotated[
        bool | None,
        typer.Option(
            "--aggregate/--rows",
            help="Medians and spread over seeds, or every row. Default: medians in tables.",
        ),
    ] = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Show the costs of the stages of each run instead.")
    ] = False,
) -> None:
    """Show the results table; with --run or a configuration, only the rows of that run."""
    from electra_pipeline.results import aggregation, store
    from electra_pipeline.results.database import redacted_database
    from electra_pipeline.results.tables.cost_table import render_costs
    from electra_pipeline.results.tables.results_table import render_results

    database, run = where.database_url, where.run
    if costs:
        _print(render_costs(store.read_costs(database, run=run), format), format)
        return
    rows = store.read(database, run=run)
    if compare is not None:
        _print(_compare(rows, compare, where.root, format), format)
        return
    if not rows:
        of_run = f" of the run {run}" if run else ""
        print(f"no results{of_run} in {redacted_database(database)} yet", file=sys.stderr)
    if aggregate if aggregate is not None else format not in ("json", "csv"):
        rows = aggregation.aggregate(rows)
    _print(render_results(rows, format, layout), format)


def _print(text: str, format: str) -> None:
    from electra_pipeline.cli import output

    print(output.json_text(text) if format == "json" else text)


def _compare(rows: list[dict[str, Any]], names: tuple[str, str], root: str, format: Any) -> str:
    from electra_pipeline.results.statistics import comparison
    from electra_pipeline.results.tables.comparison_table import render_comparison
    from electra_pipeline.storage.artifact import find_artifacts

    a, b = (comparison.find_side(rows, name) for name in names)
    trials = {trial.fingerprint: trial for trial in find_artifacts(root, "finetune")}
    return render_comparison(comparison.compare(rows, a, b, trials), format)


def report(
    where: Location,
    output: Annotated[Path, typer.Option("--output", help="The HTML file to write.")],
) -> None:
    """Write learning curves, results and corpus of a run as HTML; its errors on a second page.

    Without --run or a configuration, of the newest run that published a model, else of the newest
    evaluation.
    """
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable
    from electra_pipeline.workflows import report as reports

    if not output.name:
        raise ValueError(f"--output {output}: a folder; give the HTML file to write")
    check_readable(Folder(where.root))
    subject = reports.find_subject(where.root, where.database_url, where.run)
    pages = reports.render(where.root, where.database_url, subject, output.name)
    for name, page in pages.items():
        try:
            output.with_name(name).write_text(page, "utf-8")
        except OSError as error:
            raise _cannot_write(output.with_name(name), error) from error
        print(output.with_name(name))


def submission(
    where: Location,
    output: Annotated[Path, typer.Option("--output", help="The folder to write into.")],
) -> None:
    """Write the files that leaderboards take: the zip of GLUE, the predictions of SQuAD."""
    from electra_pipeline.results.submission import write_submission

    try:
        written = write_submission(_find_trials(where), output)
    except OSError as error:
        raise _cannot_write(output, error) from error
    for line in written.chosen:
        print(line, file=sys.stderr)
    if written.missing:
        print(f"missing, GLUE wants all: {', '.join(written.missing)}", file=sys.stderr)
    for path in written.files:
        print(path)


def _find_trials(where: Location) -> "list[Artifact]":
    from electra_pipeline.storage.artifact import find_artifacts
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    root, run = where.root, where.run
    if run is None:
        raise ValueError("give --run NAME, --config FILE or --preset NAME (`results` lists runs)")
    check_readable(Folder(root))
    trials = [trial for trial in find_artifacts(root, "finetune") if trial.counters["run"] == run]
    if not trials:
        raise ValueError(f"{root}: no fine-tuned trial of the run {run}; `results` lists the runs")
    return trials


def _cannot_write(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path}: cannot be written ({error.strerror}); give another --output")
