"""Commands that apply a model to text, on a pipe or over HTTP."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeVar

import typer

Answer = TypeVar("Answer")

LINE_SECONDS = 10.0  # between two lines of progress


def predict(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="The task to load it for.")] = None,
    format: Annotated[
        Literal["auto", "text", "jsonl"],
        typer.Option(
            "--format",
            help="Input lines: text, JSON objects, or chosen by their first character (auto).",
        ),
    ] = "auto",
) -> None:
    """Read sentences from stdin; write predictions as JSON lines, null for a blank line."""
    import orjson

    from electra_pipeline.serving import predict as prediction

    predictor = prediction.load_predictor(model, task)
    if sys.stdin is None:
        raise ValueError("stdin is closed; give the sentences on stdin")
    # Bytes on both sides: UTF-8 in any locale
    for answer in _with_progress(prediction.predict(predictor, sys.stdin.buffer, format)):
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


def _with_progress(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the answers; log their number and rate on stderr every LINE_SECONDS."""
    started = shown = time.monotonic()
    for number, answer in enumerate(answers, 1):
        yield answer
        now = time.monotonic()
        if now - shown >= LINE_SECONDS and not sys.stdout.isatty():  # a terminal shows the answers
            shown = now
            rate = number / (now - started)
            print(f"predict {number:,} lines, {rate:.3g} lines/s", file=sys.stderr)


def serve(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="The task to load it for.")] = None,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8080,
) -> None:
    """Serve a model over HTTP: POST /predict, GET /health."""
    from electra_pipeline.serving import predict as prediction
    from electra_pipeline.serving import serve as service

    service.serve(prediction.load_predictor(model, task), host, port)
