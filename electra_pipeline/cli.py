"""The command line. Every command is a few lines over the library; `run` hands over to the flow."""

import io
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

if TYPE_CHECKING:
    from electra_pipeline.artifact import Artifact
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.execution import Executor
    from electra_pipeline.progress import Progress

app = typer.Typer(
    name="electra-pipeline",
    help="Train ELECTRA encoders from raw text: corpus to evaluated model. "
    "With --debug anywhere, an error shows its traceback.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

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


@app.command()
def run(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Run the whole chain as a Prefect flow, here and now."""
    from electra_pipeline import config as configuration
    from electra_pipeline.evaluation import results

    chosen = configuration.load(preset=preset, file=config, overrides=set_ or [], root=root)

    from flows.local import run_here

    outcome = run_here(chosen, debug="--debug" in sys.argv)
    if outcome.rows:
        print(results.render(results.aggregate(outcome.rows), "table"))
        print(f"report   {outcome.report}")
        print(f"results  {chosen.database_url}")
    print(f"model    {outcome.model}")


def _stage(last: str, help_text: str) -> Callable[..., None]:
    def command(
        preset: PresetOption = None,
        config: ConfigOption = None,
        set_: SetOption = None,
        root: RootOption = None,
    ) -> None:
        from electra_pipeline import config as configuration

        chosen = configuration.load(preset=preset, file=config, overrides=set_ or [], root=root)
        with _surroundings(chosen) as (executor, progress):
            artifact = _run_until(last, chosen, executor, progress)
        if artifact is not None:
            print(artifact.folder)

    command.__doc__ = help_text
    return command


for _name, _help in (
    ("corpus", "Build the corpus: clean, deduplicated documents."),
    ("tokenizer", "Train the tokenizer, and the corpus if it is not there."),
    ("sequences", "Build the sequences that pre-training reads."),
    ("pretrain", "Pre-train generator and discriminator."),
    ("publish", "Write the model directories that plain transformers loads."),
    ("finetune", "Fine-tune and evaluate every leg; record the results."),
):
    app.command(_name, help=f"{_help} Without Prefect.")(_stage(_name, _help))


@contextmanager
def _surroundings(config: "PipelineConfig") -> "Iterator[tuple[Executor, Progress]]":
    """An executor and a progress display for a stage that runs without Prefect."""
    import os

    from electra_pipeline.execution import LocalExecutor
    from electra_pipeline.terminal import set_up_logging, shown_progress

    console = Console(stderr=True)
    set_up_logging(console)
    with shown_progress(console) as progress:
        if config.scale.workers == 1 and not os.environ.get("RAY_ADDRESS"):
            yield LocalExecutor(), progress
        else:
            from electra_pipeline.on_ray import cluster

            with cluster() as ray_executor:
                yield ray_executor, progress


def _run_until(
    last: str, config: "PipelineConfig", executor: "Executor", progress: "Progress"
) -> "Artifact | None":
    """Run the stages up to `last`; finished ones say so and cost nothing."""
    from electra_pipeline import pipeline

    pipeline.check(config, executor)
    corpus = pipeline.build_corpus(config, executor, progress)
    if last == "corpus":
        return corpus
    tokenizer = pipeline.train_tokenizer(config, corpus, progress)
    if last == "tokenizer":
        return tokenizer
    sequences = pipeline.build_sequences(config, corpus, tokenizer, executor, progress)
    if last == "sequences":
        return sequences
    pretrained = pipeline.pretrain(config, tokenizer, sequences, executor, progress)
    if last == "pretrain":
        return pretrained
    model = pipeline.publish(config, pretrained, tokenizer, corpus)
    if last == "publish":
        return model
    _finetune(config, model, executor, progress)
    return None


def _finetune(
    config: "PipelineConfig", model: "Artifact", executor: "Executor", progress: "Progress"
) -> None:
    from electra_pipeline import pipeline
    from electra_pipeline.evaluation import results

    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    legs = pipeline.plan_legs(config, model)
    outcomes = list(pipeline.run_legs(config, legs, executor, progress))
    finished = [outcome.value for outcome in outcomes if outcome.value is not None]
    rows = pipeline.record_results(config, finished)
    print(results.render(results.aggregate(rows), "table"))
    print(pipeline.write_report(config, model, rows))
    lost = [(legs[outcome.index], outcome.error) for outcome in outcomes if outcome.error]
    for leg, error in lost:
        Console(stderr=True).print(f"leg {leg.label} failed: {error}", style="red", markup=False)
    if lost:
        raise RuntimeError(f"{len(lost)} of {len(legs)} legs failed; the others are recorded")


@app.command()
def results(
    root: RootOption = None,
    database: DatabaseOption = None,
    run: RunOption = None,
    format: Annotated[
        Literal["table", "json", "csv", "markdown"], typer.Option("--format")
    ] = "table",
    aggregate: Annotated[
        bool | None,
        typer.Option(
            "--aggregate/--rows",
            help="Medians and spread over seeds, or every row. Default: medians in tables.",
        ),
    ] = None,
) -> None:
    """Show the results table."""
    from electra_pipeline.config import default_database
    from electra_pipeline.evaluation import results as table

    place = database or default_database(root or "./runs")
    rows = table.read(place, run=run)
    if not rows:
        wanted = f" of the run {run}" if run else ""
        print(f"no results{wanted} in {table.shown(place)} yet", file=sys.stderr)
    if aggregate if aggregate is not None else format in ("table", "markdown"):
        rows = table.aggregate(rows)
    print(table.render(rows, format))


@app.command()
def report(
    output: Annotated[Path, typer.Option("--output", help="The HTML file to write.")],
    root: RootOption = None,
    database: DatabaseOption = None,
    run: RunOption = None,
) -> None:
    """Draw a run's learning curves, results and corpus as one HTML file."""
    from electra_pipeline import pipeline
    from electra_pipeline.artifact import find_artifacts
    from electra_pipeline.config import default_database
    from electra_pipeline.evaluation import results as table

    place = root or "./runs"
    models = [a for a in find_artifacts(place, "publish") if run in (None, a.name)]
    if not models:
        wanted = f" of the run {run}" if run else ""
        raise ValueError(f"{place}: no published model{wanted}; `run` or `publish` makes one")
    model = max(models, key=lambda artifact: str(artifact.observed["created_at"]))
    rows = table.read(database or default_database(place), run=model.name)
    page = pipeline.render_report(place, model.name, model, rows)
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise ValueError(
            f"{output}: cannot be written ({error.strerror}); give another --output"
        ) from error
    print(output)


@app.command()
def config(
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Print the full configuration that would run, as YAML."""
    from electra_pipeline import config as configuration

    chosen = configuration.load(preset=preset, file=config, overrides=set_ or [], root=root)
    print(configuration.to_yaml(chosen), end="")


@app.command()
def presets() -> None:
    """List the presets."""
    from electra_pipeline.presets import preset_names, preset_text

    table = Table("preset", "what it is")
    for name in preset_names():
        first_line = preset_text(name).splitlines()[0]
        table.add_row(name, first_line.removeprefix("# "))
    Console().print(table)


@app.command()
def verify(
    place: Annotated[str, typer.Argument(metavar="PATH", help="An artifact or a root.")] = "./runs",
) -> None:
    """Re-hash an artifact or a whole root; name each damaged file and exit with 1."""
    from electra_pipeline.artifact import find_artifacts, open_artifact
    from electra_pipeline.artifact import verify as problems_of
    from electra_pipeline.storage import Folder

    artifact = open_artifact(Folder(place))
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


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="What to read it as.")] = None,
) -> None:
    """Read sentences from stdin; write what the model says as JSON lines."""
    import orjson

    from electra_pipeline.publishing import predict as prediction

    predictor = prediction.load_predictor(model, task)
    # Strict and in UTF-8, whatever the locale says
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
    try:
        for answer in prediction.predict(predictor, lines):
            sys.stdout.write(orjson.dumps(answer).decode() + "\n")
            sys.stdout.flush()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"stdin: not valid utf-8 ({error.reason}); convert it first, as iconv does"
        ) from error


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="What to read it as.")] = None,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port")] = 8080,
) -> None:
    """Serve a model over HTTP: POST /predict, GET /health."""
    from electra_pipeline.publishing import predict as prediction
    from electra_pipeline.publishing import serve as service

    service.serve(prediction.load_predictor(model, task), host, port)


@app.command()
def doctor(root: RootOption = None) -> None:
    """Say what this machine has, what is missing, and the remedy."""
    from electra_pipeline.doctor import examine

    table = Table("", "found", "remedy")
    for finding in examine(root or "./runs"):
        # as text: markup would swallow the brackets of package[extra]
        table.add_row(*map(Text, (finding.subject, finding.found, finding.remedy)))
    Console().print(table)


def _one_line(error: Exception) -> str:
    from pydantic import ValidationError

    from electra_pipeline.config import explain

    told = explain(error) if isinstance(error, ValidationError) else str(error)
    return " ".join(told.split()) or type(error).__name__


def main() -> None:
    """Run the command line: exit 2 for what the user gave wrong, 1 for a run that fails."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        # standalone mode would swallow Ctrl-C and print its own word for it
        sys.exit(app(args=arguments, standalone_mode=False))
    except TyperException as error:
        if message := error.format_message():  # empty where the help was printed
            print(f"error: {message} See electra-pipeline --help.", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)


if __name__ == "__main__":
    main()
