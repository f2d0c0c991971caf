"""The table of commands, and what becomes of their errors."""

import os
import sys
import traceback
from pathlib import Path

import typer
from typer.exceptions import TyperException

from electra_pipeline.cli import models, output, show, upkeep, work
from electra_pipeline.cli.options import configured
from electra_pipeline.core.execution import THREAD_ENVIRONMENT
from electra_pipeline.core.interruption import RESUMABLE, Interruption, bounded_interrupt

TYPER_INTERRUPTED = 130  # what typer's app returns after a KeyboardInterrupt

app = typer.Typer(
    name="electra-pipeline",
    help="Train ELECTRA encoders from raw text: corpus to evaluated model. "
    "With --debug anywhere, an error shows its traceback.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command("run")(configured(work.run))
for name, what in (
    ("corpus", "Build the corpus: clean, deduplicated documents."),
    ("tokenizer", "Train the tokenizer, and the corpus if it is not there."),
    ("sequences", "Build the sequences that pre-training reads."),
    ("pretrain", "Pre-train generator and discriminator."),
    ("publish", "Write the model directories that plain transformers loads."),
    ("finetune", "Fine-tune and evaluate every trial; record the results."),
):
    app.command(name, help=f"{what} Without Prefect.")(configured(work.stage(name)))
app.command("history")(configured(work.history))
app.command("evaluate")(work.evaluate)
app.command("sweep")(work.sweep)
app.command("results")(show.results)
app.command("report")(show.report)
app.command("submission")(show.submission)
app.command("config")(configured(show.config))
app.command("presets")(show.presets)
app.command("verify")(show.verify)
app.command("gc")(upkeep.gc)
app.command("inspect")(show.inspect)
app.command("predict")(models.predict)
app.command("serve")(models.serve)
app.command("doctor")(show.doctor)


def _one_line(error: Exception) -> str:
    from pydantic import ValidationError

    told = str(error)
    if isinstance(error, ValidationError):
        from electra_pipeline.config import explain

        told = explain(error)
    return " ".join(told.split()) or type(error).__name__


def _check_current_folder() -> None:
    """Raise ValueError where it was removed: nothing relative to it can be found."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ValueError("the current folder was removed; go to another one (cd)") from error


def main() -> None:
    """Run the command line: exit 2 for what the user gave wrong, 1 for a run that fails."""
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
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)
