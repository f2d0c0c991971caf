"""Options that several commands take, and what they resolve to."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig

DEFAULT_ROOT = "./runs"

PresetOption = Annotated[
    str | None, typer.Option("--preset", help="An included configuration (`presets` lists them).")
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A YAML file of your own, local or any fsspec URI.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one key: pretrain.steps=1000"),
]
RootOption = Annotated[
    str | None, typer.Option("--root", help="Folder of all artifacts: a path or fsspec URI.")
]
RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="SQLAlchemy URL of the results table.")
]


@dataclass(frozen=True)
class Location:
    """The root, results table and run that a command reads."""

    root: str
    database: str | None
    """URL of the results table; None is the root's own."""
    run: str | None
    """Name of the run; None where neither --run nor a configuration names one."""
    is_given: bool
    """Whether an option named the root; False for the default."""

    @property
    def database_url(self) -> str:
        from electra_pipeline.results.database import default_database

        return self.database or default_database(self.root)


def configuration(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
) -> "PipelineConfig":
    """Load the configuration that the options name."""
    from electra_pipeline.config import load

    return load(preset=preset, file=config, overrides=set_ or [], root=root, database=database)


def location(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
    run: RunOption = None,
) -> Location:
    """Take root, database and run from the options, else from the configuration they name."""
    if preset is None and config is None:
        if set_:
            raise ValueError("--set changes a configuration; give --preset NAME or --config FILE")
        return Location(root or DEFAULT_ROOT, database, run, root is not None)
    loaded = configuration(preset, config, set_, root, database)
    return Location(loaded.root, loaded.database, run or loaded.name, True)


def root_location(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> Location:
    """Do as `location` for commands that read artifacts alone."""
    return location(preset, config, set_, root)


def database_location(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
) -> Location:
    """Do as `location` for commands that concern no single run."""
    return location(preset, config, set_, root, database)


def with_options(resolve: Callable[..., Any], command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` as typer takes it: the options of `resolve` replace its first parameter."""
    shared = inspect.signature(resolve).parameters
    _, *own = inspect.signature(command).parameters.values()

    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared}
        command(resolve(**options), **given)

    run.__doc__ = command.__doc__
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [each.replace(kind=keyword) for each in (*own, *shared.values())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
