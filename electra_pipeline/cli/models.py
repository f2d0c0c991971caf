"""Commands that use a model: what it says of text, on a pipe or over HTTP."""

import io
import sys
from typing import Annotated

import typer


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
