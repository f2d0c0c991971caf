"""The table of commands, and how their errors end the process."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from electra_pipeline.cli import models, output, results, run, setup, storage
from electra_pipeline.cli.options import (
    configuration,
    database_location,
    location,
    root_location,
    with_options,
)
from electra_pipeline.core.errors import one_line
from electra_pipeline.core.execution import THREAD_ENVIRONMENT, StageName
from electra_pipeline.core.interruption import RESUMABLE, Interruption, bounded_interrupt

TYPER_INTERRUPTED = 130  # what typer's app returns after a KeyboardInterrupt
RENAMED_COMMANDS = {"history": "learning-curve"}

app = typer.Typer(
    name="electra-pipeline",
    help="Train ELECTRA encoders from raw text: corpus to evaluated model. "
    "With --debug anywhere, an error shows its traceback.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

STAGE_HELP: dict[StageName, str] = {
    "corpus": "Build the corpus: clean, deduplicated documents.",
    "tokenizer": "Train the tokenizer; build the corpus first if it is missing.",
    "sequences": "Build the sequences for pre-training.",
    "pretrain": "Pre-train generator and discriminator.",
    "publish": "Write model directories that plain transformers loads.",
}
COMMANDS: dict[str, dict[str, Any]] = {
    "Run": {
        "run": with_options(configuration, run.run),
        **{name: with_options(configuration, run.stage(name)) for name in STAGE_HELP},
        "finetune": with_options(configuration, run.finetune),
        "evaluate": run.evaluate,
        "sweep": run.sweep,
        "learning-curve": with_options(configuration, run.learning_curve),
    },
    "Results": {
        "results": with_options(location, results.results),
        "report": with_options(location, results.report),
        "submission": with_options(location, results.submission),
    },
    "Storage": {
        "verify": with_options(root_location, storage.verify),
        "gc": with_options(root_location, storage.gc),
        "inspect": with_options(root_location, storage.inspect),
    },
    "Models": {"predict": models.predict, "serve": models.serve},
    "Setup": {
        "config": setup.config,
        "presets": setup.presets,
        "doctor": with_options(database_location, setup.doctor),
        "deployment-files": setup.deployment_files,
    },
}
HELP: dict[str, str] = {name: f"{text} Without Prefect." for name, text in STAGE_HELP.items()}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, help=HELP.get(name), rich_help_panel=panel)(command)


def _refuse_renamed(context: typer.Context) -> None:
    old = str(context.info_name)
    raise ValueError(f"{old}: this command was renamed to {RENAMED_COMMANDS[old]}")


for name in RENAMED_COMMANDS:
    any_arguments = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(name, hidden=True, context_settings=any_arguments)(_refuse_renamed)


def _message(error: Exception) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        from electra_pipeline.config import explain

        return explain(error)
    return one_line(error)


def _check_current_folder() -> None:
    """Raise ValueError if it was removed: relative paths cannot be resolved."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ValueError("the current folder was removed; go to another one (cd)") from error


def main() -> None:
    """Run the command line: exit 2 for invalid input, 1 for a run that fails."""
    for name, value in THREAD_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    output.prepare()
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    interruption = Interruption()
    try:
        _check_current_folder()
        with bounded_interrupt() as interruption:
            # in standalone mode typer would print errors itself, in a box
            code = app(args=arguments, standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code)
    except TyperException as error:
        if message := error.format_message():  # empty where the help was printed
            print(f"error: {message} See electra-pipeline --help.", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print(f"{interruption}; {RESUMABLE}", file=sys.stderr)
        sys.exit(interruption.exit_code)
    except Exception as error:
        if output.reader_left(error):
            sys.exit(output.READER_LEFT)
        if debug:
            traceback.print_exc()
        print(f"error: {_message(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)
