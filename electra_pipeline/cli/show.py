"""Commands that show what there is: results, configurations, artifacts, this machine."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from electra_pipeline.cli.options import (
    ConfigOption,
    DatabaseOption,
    PresetOption,
    RootOption,
    RunOption,
    SetOption,
)

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.workflows.doctor import Finding, Places


def results(
    root: RootOption = None,
    database: DatabaseOption = None,
    run: RunOption = None,
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
        bool, typer.Option("--costs", help="What the stages of each run cost instead.")
    ] = False,
) -> None:
    """Show the results table."""
    from electra_pipeline.config import default_database
    from electra_pipeline.results import store
    from electra_pipeline.results.tables import cost_table, table

    place = database or default_database(root or "./runs")
    if costs:
        _print(cost_table.render(store.read_costs(place, run=run), format), format)
        return
    rows = store.read(place, run=run)
    if compare is not None:
        _print(_compared(rows, compare, root or "./runs", format), format)
        return
    if not rows:
        wanted = f" of the run {run}" if run else ""
        print(f"no results{wanted} in {store.shown(place)} yet", file=sys.stderr)
    if aggregate if aggregate is not None else format not in ("json", "csv"):
        rows = table.aggregate(rows)
    _print(table.render(rows, format, layout), format)


def _print(text: str, format: str) -> None:
    from electra_pipeline.cli import output

    print(output.json_text(text) if format == "json" else text)


def _compared(rows: "list[dict[str, Any]]", names: tuple[str, str], root: str, format: Any) -> str:
    from electra_pipeline.results.statistics import comparison
    from electra_pipeline.results.tables import comparison_table
    from electra_pipeline.storage.artifact import find_artifacts

    a, b = (comparison.find_side(rows, name) for name in names)
    trials = {trial.fingerprint: trial for trial in find_artifacts(root, "finetune")}
    return comparison_table.render(comparison.compare(rows, a, b, trials), format)


def report(
    output: Annotated[Path, typer.Option("--output", help="The HTML file to write.")],
    root: RootOption = None,
    database: DatabaseOption = None,
    run: RunOption = None,
) -> None:
    """Draw a run's learning curves, results and corpus as HTML; its errors on a page beside it.

    Without --run it is the newest run that published a model, else the newest evaluation.
    """
    from electra_pipeline.config import default_database
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable
    from electra_pipeline.workflows import report as reporting

    if not output.name:
        raise ValueError(f"--output {output}: a folder; give the HTML file to write")
    place = root or "./runs"
    check_readable(Folder(place))
    source = database or default_database(place)
    found = reporting.find_subject(place, source, run)
    pages = reporting.render(place, source, found.run, found.model, found.rows, output.name)
    for name, page in pages.items():
        try:
            output.with_name(name).write_text(page, "utf-8")
        except OSError as error:
            raise ValueError(
                f"{output.with_name(name)}: cannot be written ({error.strerror}); give another "
                "--output"
            ) from error
        print(output.with_name(name))


def submission(
    run: Annotated[str, typer.Option("--run", help="The run whose trials are submitted.")],
    output: Annotated[Path, typer.Option("--output", help="The folder to write into.")],
    root: RootOption = None,
) -> None:
    """Write what leaderboards take: GLUE's zip, SQuAD's predictions."""
    from electra_pipeline.results.submission import write_submission
    from electra_pipeline.storage.artifact import find_artifacts
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    place = root or "./runs"
    check_readable(Folder(place))
    trials = [trial for trial in find_artifacts(place, "finetune") if trial.counters["run"] == run]
    if not trials:
        raise ValueError(f"{place}: no fine-tuned trial of the run {run}; `results` lists the runs")
    try:
        written = write_submission(trials, output)
    except OSError as error:
        raise ValueError(
            f"{output}: cannot be written ({error.strerror}); give another --output"
        ) from error
    for line in written.chosen:
        print(line, file=sys.stderr)
    if written.missing:
        print(f"missing, GLUE wants all: {', '.join(written.missing)}", file=sys.stderr)
    for path in written.files:
        print(path)


def config(config: "PipelineConfig") -> None:
    """Print the full configuration that would run, as YAML."""
    from electra_pipeline.cli import output
    from electra_pipeline.config import to_yaml

    text = to_yaml(config)
    print(text if output.takes(text) else to_yaml(config, allow_unicode=False), end="")


def presets() -> None:
    """List the presets."""
    from electra_pipeline.presets import preset_names, preset_text

    table = Table("preset", Column("what it is", overflow="fold"))
    for name in preset_names():
        first_line = preset_text(name).splitlines()[0]
        table.add_row(name, first_line.removeprefix("# "))
    Console().print(table)


def verify(
    place: Annotated[str, typer.Argument(metavar="PATH", help="An artifact or a root.")] = "./runs",
) -> None:
    """Re-hash an artifact or a whole root; name each damaged file and exit with 1."""
    from electra_pipeline.storage.artifact import find_artifacts, open_artifact
    from electra_pipeline.storage.artifact import verify as problems_of
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    artifact = open_artifact(check_readable(Folder(place)))
    artifacts = [artifact] if artifact is not None else find_artifacts(place)
    if not artifacts:
        raise ValueError(f"{place}: no finished artifact here; give an artifact or a root")
    num_damaged = 0
    for artifact in artifacts:
        problems = problems_of(artifact)
        num_damaged += len(problems)
        print(f"{'damaged' if problems else 'ok':8} {artifact.folder}")
        for problem in problems:
            print(f"         {problem}", file=sys.stderr)
    if num_damaged:
        raise typer.Exit(1)


def inspect(
    place: Annotated[str, typer.Argument(metavar="ARTIFACT", help="A corpus artifact.")],
    reason: Annotated[str | None, typer.Option("--reason", help="A rule, or kept.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="A source of the corpus.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Of each reason.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other documents.")] = 0,
) -> None:
    """Show random documents of a corpus, kept and dropped, with the rule that fired."""
    from electra_pipeline.core.console import print_document
    from electra_pipeline.corpus import inspect as inspection
    from electra_pipeline.storage.artifact import open_artifact
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    corpus = open_artifact(check_readable(Folder(place)))
    if corpus is None:
        raise ValueError(f"{place}: no finished artifact here; give a corpus's folder")
    found = inspection.inspect(corpus, reason=reason, source=source, number=number, seed=seed)
    for shown in found:
        place = f"{shown.source}  {shown.url or ''}"
        print_document(f"{shown.reason} {shown.value}", place, shown.text)


def doctor(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
) -> None:
    """Say what this machine has, what is missing, and the remedy.

    With a configuration, of its root and database.
    """
    from electra_pipeline.config import load
    from electra_pipeline.workflows.doctor import CHECKS, Places, examine

    if preset is None and config is None:
        places = Places(root or "./runs", database)
    else:
        given = load(preset=preset, file=config, overrides=set_ or [], root=root)
        places = Places(given.root, database or given.database)
    table = Table(*(Column(title, overflow="fold") for title in ("", "found", "remedy")))
    for finding in examine(places, (*CHECKS, _prefect)):
        # as text: markup would swallow the brackets of package[extra]
        table.add_row(*map(Text, (finding.subject, finding.found, finding.remedy)))
    Console().print(table)


def _prefect(places: "Places") -> "Iterator[Finding]":
    """The checks of Prefect's server, which are the flows' own."""
    from electra_pipeline.storage import local_folders

    if not (os.environ.get("PREFECT_API_URL") or local_folders.of_prefect().path.is_dir()):
        return  # no server is set anywhere, and the import would make this folder
    from flows.health import examine_server

    yield from examine_server()
