"""An HTTP endpoint for one model: POST /predict and GET /health."""

import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import fastapi
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field

from electra_pipeline.identity import Config
from electra_pipeline.publishing.predict import Predictor

MAX_INPUTS = 256  # in one request: some seconds of work for a base model on a CPU
MAX_INPUT_CHARACTERS = 100_000  # in one text of one input: a long article
MAX_REQUEST_BYTES = 16 * 2**20  # refused unread beyond it
HOST = "127.0.0.1"  # loopback: there is no access control
PORT = 8000

BoundedText = Annotated[str, Field(max_length=MAX_INPUT_CHARACTERS)]


class Request(Config):
    """The body of POST /predict."""

    inputs: list[BoundedText | dict[str, BoundedText | list[BoundedText]]] = Field(
        min_length=1, max_length=MAX_INPUTS
    )
    """Lines as `electra-pipeline predict` reads them, or objects with the fields of the task."""


def create_app(predictor: Predictor) -> FastAPI:
    """The application; what cannot be asked is answered with 422 and a line that says why.

    POST /predict {"inputs": [...]} -> {"outputs": [...]}, one output for each input, in order.
    GET /health -> {"status": "ok", "model": ..., "task": ...}.
    """
    app = FastAPI(title=f"{predictor.task}: {predictor.model}")
    one_at_a_time = threading.Lock()  # a tokenizer cannot be shared between threads

    @app.middleware("http")
    async def limit_size(
        request: fastapi.Request,
        respond: Callable[[fastapi.Request], Awaitable[fastapi.Response]],
    ) -> fastapi.Response:
        size = request.headers.get("content-length")
        if request.method == "POST" and size is None:
            return JSONResponse({"detail": "send a Content-Length"}, status_code=411)
        if size is not None and int(size) > MAX_REQUEST_BYTES:
            detail = f"the request has {size} bytes, the limit is {MAX_REQUEST_BYTES}"
            return JSONResponse({"detail": detail}, status_code=413)
        return await respond(request)

    @app.exception_handler(RequestValidationError)
    async def explain(request: fastapi.Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]  # without the input, which may be long
        place = ".".join(str(part) for part in problem["loc"])
        return JSONResponse({"detail": f"{place}: {problem['msg']}"}, status_code=422)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "model": predictor.model, "task": predictor.task}

    # Not async: FastAPI runs it in a thread, so that /health answers meanwhile.
    @app.post("/predict")
    def predict(request: Request) -> dict[str, list[dict[str, Any]]]:
        examples = []
        for index, given in enumerate(request.inputs):
            try:
                examples.append(predictor.parse(given))
            except ValueError as error:
                raise HTTPException(422, f"inputs.{index}: {error}") from error
        with one_at_a_time:
            return {"outputs": predictor.answer(examples)}

    return app


def serve(predictor: Predictor, host: str = HOST, port: int = PORT) -> None:
    """Answer requests until interrupted. Raises ValueError if the address cannot be had."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise ValueError(
            f"cannot serve on {host}:{port}: {error.strerror or error}; choose another port or host"
        ) from error
    with listener:
        uvicorn.Server(uvicorn.Config(create_app(predictor), log_level="info")).run([listener])
