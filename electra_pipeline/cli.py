"""The command line. Every command is a few lines over the library; `run` hands over to the flow."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from electra_pipeline.execution import THREAD_ENVIRONMENT
from electra_pipeline.interruption import INTERRUPTED, RESUMABLE, bounded_interrupt

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


@app.command("run")
@configured
def run(config: "PipelineConfig") -> None:
    """Run the whole chain as a Prefect flow, here and now."""
    from electra_pipeline.evaluation.results import table
    from flows.local import run_here

    outcome = run_here(config, debug="--debug" in sys.argv)
    if outcome.rows:
        print(table.render(table.aggregate(outcome.rows), "table"))
    if outcome.report:
        print(f"report   {outcome.report}")
    print(f"results  {config.database_url}")
    print(f"model    {outcome.model}")


def _stage(last: str) -> "Callable[[PipelineConfig], None]":
    def command(config: "PipelineConfig") -> None:
        use_ray = config.scale.workers > 1 or bool(os.environ.get("RAY_ADDRESS"))
        with _surroundings(use_ray) as (executor, progress):
            artifact = _run_until(last, config, executor, progress)
        if artifact is not None:
            print(artifact.folder)

    return command


for _name, _help in (
    ("corpus", "Build the corpus: clean, deduplicated documents."),
    ("tokenizer", "Train the tokenizer, and the corpus if it is not there."),
    ("sequences", "Build the sequences that pre-training reads."),
    ("pretrain", "Pre-train generator and discriminator."),
    ("publish", "Write the model directories that plain transformers loads."),
    ("finetune", "Fine-tune and evaluate every leg; record the results."),
):
    app.command(_name, help=f"{_help} Without Prefect.")(configured(_stage(_name)))


@app.command()
def sweep(
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="PATH=V1,V2",
            help="Values of one key: pretrain.learning_rate=2e-4,5e-4. Given more than once, every "
            "combination is run.",
        ),
    ],
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Run a configuration in variants, fanned out over Ray; each is a run in the results table.

    Corpus, tokenizer, sequences and pre-trainings that variants have in common are made once. Each
    variant trains on one worker (scale.workers counts as 1), and as many at once as the machine
    has room for. Without Prefect.
    """
    from electra_pipeline import config as configuration
    from electra_pipeline import sweep as sweeping
    from electra_pipeline.evaluation.results import table
    from electra_pipeline.variants import expand

    given = configuration.read(preset=preset, file=config, overrides=set_ or [], root=root)
    variants = expand(*given, vary)
    with _surroundings(use_ray=True) as (executor, progress):
        found = sweeping.run(variants, executor, progress)
    print(table.grid(*sweeping.summary(found), "table"))
    print(f"results  {variants[0].config.database_url}")
    lost = [result for result in found if result.errors]
    for result in lost:
        for error in result.errors:
            _complain(f"variant {result.variant.label}: {error}")
    if lost:
        names = "; ".join(result.variant.label for result in lost)
        raise RuntimeError(
            f"{len(lost)} of {len(found)} variants failed ({names}); the others are recorded"
        )


@contextmanager
def _surroundings(use_ray: bool) -> "Iterator[tuple[Executor, Progress]]":
    """An executor and a progress display for what runs without Prefect."""
    from electra_pipeline.execution import LocalExecutor
    from electra_pipeline.terminal import set_up_logging, shown_progress

    console = Console(stderr=True)
    set_up_logging(console)
    with shown_progress(console) as progress:
        if use_ray:
            from electra_pipeline.on_ray import cluster

            with cluster() as ray_executor:
                yield ray_executor, progress
        else:
            yield LocalExecutor(), progress


def _complain(line: str) -> None:
    Console(stderr=True).print(line, style="red", markup=False, soft_wrap=True)


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
    pretraining = pipeline.record_pretraining(config, sequences, pretrained, model)
    if last == "publish":
        return model
    _finetune(config, model, pretraining, executor, progress)
    return None


def _finetune(
    config: "PipelineConfig",
    model: "Artifact",
    pretraining: "list[dict[str, Any]]",
    executor: "Executor",
    progress: "Progress",
) -> None:
    from electra_pipeline import pipeline
    from electra_pipeline.evaluation.results import table

    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    legs = pipeline.plan_legs(config, model)
    outcomes = list(pipeline.run_legs(config, legs, executor, progress))
    finished = [outcome.value for outcome in outcomes if outcome.value is not None]
    rows = pipeline.record_results(config, finished)
    print(table.render(table.aggregate([*pretraining, *rows]), "table"))
    print(pipeline.write_report(config, model, rows))
    lost = [(legs[outcome.index], outcome.error) for outcome in outcomes if outcome.error]
    for leg, error in lost:
        _complain(f"leg {leg.label} failed: {error}")
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
    from electra_pipeline.evaluation.results import store, table

    place = database or default_database(root or "./runs")
    rows = store.read(place, run=run)
    if not rows:
        wanted = f" of the run {run}" if run else ""
        print(f"no results{wanted} in {store.shown(place)} yet", file=sys.stderr)
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
    from electra_pipeline.evaluation.results import store

    place = root or "./runs"
    models = [a for a in find_artifacts(place, "publish") if run in (None, a.name)]
    if not models:
        wanted = f" of the run {run}" if run else ""
        raise ValueError(f"{place}: no published model{wanted}; `run` or `publish` makes one")
    model = max(models, key=lambda artifact: str(artifact.observed["created_at"]))
    rows = store.read(database or default_database(place), run=model.name)
    page = pipeline.render_report(place, model.name, model, rows)
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise ValueError(
            f"{output}: cannot be written ({error.strerror}); give another --output"
        ) from error
    print(output)


@app.command("config")
@configured
def config(config: "PipelineConfig") -> None:
    """Print the full configuration that would run, as YAML."""
    from electra_pipeline.config import to_yaml

    print(to_yaml(config), end="")


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
def inspect(
    place: Annotated[str, typer.Argument(metavar="ARTIFACT", help="A corpus artifact.")],
    reason: Annotated[str | None, typer.Option("--reason", help="A rule, or kept.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="A source of the corpus.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Of each reason.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other documents.")] = 0,
) -> None:
    """Show random documents of a corpus, kept and dropped, with the rule that fired."""
    from electra_pipeline.artifact import open_artifact
    from electra_pipeline.corpus import inspection
    from electra_pipeline.storage import Folder
    from electra_pipeline.terminal import print_document

    corpus = open_artifact(Folder(place))
    if corpus is None:
        raise ValueError(f"{place}: no finished artifact here; give a corpus's folder")
    found = inspection.inspect(corpus, reason=reason, source=source, number=number, seed=seed)
    for shown in found:
        place = f"{shown.source}  {shown.url or ''}"
        print_document(f"{shown.reason} {shown.value}", place, shown.text)


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
    for name, value in THREAD_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with bounded_interrupt():
            # in standalone mode typer would print errors itself, in a box
            code = app(args=arguments, standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code)
    except TyperException as error:
        if message := error.format_message():  # empty where the help was printed
            print(f"error: {message} See electra-pipeline --help.", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print(f"interrupted; {RESUMABLE}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)


if __name__ == "__main__":
    main()
