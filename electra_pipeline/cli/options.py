"""Options that several commands take."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig

PresetOption = Annotated[
    str | None, typer.Option("--preset", help="A configuration that ships with us (`presets`).")
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A YAML file of your own, local or any fsspec URI.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one key: pretrain.steps=1000"),
]
RootOption = Annotated[
    str | None, typer.Option("--root", help="Where artifacts are kept: a path or fsspec URI.")
]
RunOption = Annotated[str | None, typer.Option("--run", help="Only rows of the run of this name.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="SQLAlchemy URL of the results table.")
]


def configured(command: "Callable[[PipelineConfig], None]") -> Callable[..., None]:
    """A command of one configuration, with the options that say which one it is."""

    def with_options(
        preset: PresetOption = None,
        config: ConfigOption = None,
        set_: SetOption = None,
        root: RootOption = None,
    ) -> None:
        from electra_pipeline.config import load

        command(load(preset=preset, file=config, overrides=set_ or [], root=root))

    with_options.__doc__ = command.__doc__
    return with_options
