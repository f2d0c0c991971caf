"""Commands that use a model: its output for text, on a pipe or over HTTP."""

import sys
from typing import Annotated, Literal

import typer


def predict(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="What to read it as.")] = None,
    format: Annotated[
        Literal["auto", "text", "jsonl"],
        typer.Option(
            "--format",
            help="What lines are: text, JSON objects, or (auto) JSON where they begin like it.",
        ),
    ] = "auto",
) -> None:
    """Read sentences from stdin; write predictions as JSON lines, null for a blank line."""
    import orjson

    from electra_pipeline.serving import predict as prediction

    predictor = prediction.load_predictor(model, task)
    if sys.stdin is None:
        raise ValueError("stdin is closed; give the sentences there")
    # Bytes on both sides: UTF-8, whatever the locale is
    for answer in prediction.predict(predictor, sys.stdin.buffer, format):
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


def serve(
    model: Annotated[str, typer.Argument(help="A model directory, artifact, URI or hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="What to read it as.")] = None,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8080,
) -> None:
    """Serve a model over HTTP: POST /predict, GET /health."""
    from electra_pipeline.serving import predict as prediction
    from electra_pipeline.serving import serve as service

    service.serve(prediction.load_predictor(model, task), host, port)
