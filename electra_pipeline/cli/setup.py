"""Commands on the installation: configurations, presets, this machine, deployment files."""

import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from electra_pipeline.cli.options import (
    ConfigOption,
    DatabaseOption,
    Location,
    PresetOption,
    RootOption,
    SetOption,
    configuration,
)

if TYPE_CHECKING:
    from electra_pipeline.workflows.doctor import Finding, Target

# Below the package `flows`, and relative to the folder that they are written to
DEPLOYMENT_FILES = ("prefect.yaml", "infra/automations.yaml")


def config(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of configuration files.")
    ] = False,
) -> None:
    """Print the full resolved configuration as YAML, or the JSON Schema for editors."""
    from electra_pipeline.cli import output
    from electra_pipeline.config import json_schema, to_yaml

    if schema:
        if preset is not None or config is not None:
            raise ValueError("--schema is that of every configuration; leave out --preset/--config")
        print(output.json_text(json.dumps(json_schema(), indent=2, ensure_ascii=False)))
        return
    chosen = configuration(preset, config, set_, root, database)
    text = to_yaml(chosen)
    print(text if output.can_encode(text) else to_yaml(chosen, allow_unicode=False), end="")


def presets() -> None:
    """List the presets."""
    from rich.console import Console
    from rich.table import Column, Table

    from electra_pipeline.presets import preset_names, preset_text

    table = Table("preset", Column("description", overflow="fold"))
    for name in preset_names():
        first_line = preset_text(name).splitlines()[0]
        table.add_row(name, first_line.removeprefix("# "))
    Console().print(table)


def doctor(where: Location) -> None:
    """Show what this machine has, what is missing, and the remedy.

    With a configuration, of its root and database.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from electra_pipeline.workflows.doctor import CHECKS, Target, examine

    target = Target(where.root, where.database)
    table = Table(*(Column(title, overflow="fold") for title in ("", "found", "remedy")))
    for finding in examine(target, (*CHECKS, _prefect)):
        # as text: markup would swallow the brackets of package[extra]
        table.add_row(*map(Text, (finding.subject, finding.found, finding.remedy)))
    Console().print(table)


def _prefect(target: "Target") -> "Iterator[Finding]":
    """Check the Prefect server, with the flows' own checks."""
    from electra_pipeline.storage import local_folders

    if not (os.environ.get("PREFECT_API_URL") or local_folders.of_prefect().path.is_dir()):
        return  # no server is configured, and the import would create this folder
    from flows.health import examine_server

    yield from examine_server()


def deployment_files(
    directory: Annotated[Path, typer.Argument(help="The folder to write into.")] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that differ.")
    ] = False,
) -> None:
    """Write the files that deploy the flows to a Prefect server: prefect.yaml and automations.

    Then, in that folder: `prefect deploy --all`, or `python -m flows.deploying`, which also creates
    work pool and automations.
    """
    home = resources.files("flows") / "deployment"
    texts = {directory / name: (home / name).read_text("utf-8") for name in DEPLOYMENT_FILES}
    try:
        for path, text in texts.items():
            if not overwrite and path.exists() and path.read_text("utf-8") != text:
                raise ValueError(f"{path}: exists and differs; give --overwrite to replace it")
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(path)
    except OSError as error:
        raise ValueError(
            f"{directory}: cannot be written ({error.strerror}); give another DIRECTORY"
        ) from error
