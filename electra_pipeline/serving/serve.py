"""An HTTP endpoint for one model: POST /predict and GET /health."""

import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import fastapi
import orjson
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException as RoutingError
from starlette.requests import ClientDisconnect

from electra_pipeline.core.errors import json_type
from electra_pipeline.core.identity import Config
from electra_pipeline.serving.lines import BYTE_ORDER_MARK, decoded, json_path, strict_json
from electra_pipeline.serving.predict import Predictor

MAX_INPUTS = 256  # in one request: some seconds of work for a base model on a CPU
MAX_INPUT_CHARACTERS = 100_000  # in one text of one input: a long article
MAX_REQUEST_BYTES = 16 * 2**20  # larger ones are refused unread
HOST = "127.0.0.1"  # loopback, because there is no access control
PORT = 8080
USAGE = 'POST /predict {"inputs": ["a text", {"text": "another"}]}'
ENDPOINTS = f"{USAGE}; GET /health; GET /docs"


class Request(Config):
    """The body of POST /predict."""

    inputs: list[Any] = Field(min_length=1, max_length=MAX_INPUTS)
    """Lines as for `electra-pipeline predict`, or objects with the fields of the task."""


def create_app(predictor: Predictor) -> FastAPI:
    """Return the application; an invalid request gets a status and a reason in one line.

    POST /predict {"inputs": [...]} -> {"outputs": [...]}, one output for each input, in order. The
    body is JSON whatever its Content-Type, so that `curl -d` needs no header.
    GET /health -> {"status": "ok", "model": ..., "task": ...}.
    """
    # No redirects: clients repeat a redirected POST without its body, or not at all.
    app = FastAPI(title=f"{predictor.task}: {predictor.model}", redirect_slashes=False)
    one_at_a_time = threading.Lock()  # a tokenizer cannot be shared between threads

    @app.middleware("http")
    async def limit_size(
        request: fastapi.Request,
        respond: Callable[[fastapi.Request], Awaitable[fastapi.Response]],
    ) -> fastapi.Response:
        size = request.headers.get("content-length")
        if request.method == "POST" and size is None:
            return JSONResponse(
                {"detail": f"send a body and its Content-Length: {USAGE}"}, status_code=411
            )
        if size is not None and int(size) > MAX_REQUEST_BYTES:
            detail = f"the request has {size} bytes, the limit is {MAX_REQUEST_BYTES}"
            return JSONResponse({"detail": detail}, status_code=413)
        encoding = request.headers.get("content-encoding", "")
        if encoding.lower() not in ("", "identity"):
            detail = f"Content-Encoding {encoding[:40]!r} is not supported; send the JSON as it is"
            return JSONResponse({"detail": detail}, status_code=415)
        return await respond(request)

    @app.exception_handler(RoutingError)
    async def explain(request: fastapi.Request, error: RoutingError) -> JSONResponse:
        detail = error.detail
        if error.status_code == 404:
            detail = f"no endpoint {request.url.path[:60]!r}; there are: {ENDPOINTS}"
        elif error.status_code == 405:
            detail = f"{request.method} {request.url.path} is not allowed; there are: {ENDPOINTS}"
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "model": predictor.model, "task": predictor.task}

    async def body(request: fastapi.Request) -> bytes:
        try:
            return await request.body()
        except ClientDisconnect as error:
            raise HTTPException(400, "the connection ended before the body did") from error

    content = {"application/json": {"schema": Request.model_json_schema()}}

    # Not async: FastAPI runs it in a thread, so that /health still responds.
    @app.post("/predict", openapi_extra={"requestBody": {"content": content, "required": True}})
    def predict(body: Annotated[bytes, Depends(body)]) -> fastapi.Response:
        examples = []
        for index, given in enumerate(_request(body).inputs):
            try:
                examples.append(_example(predictor, given))
            except ValueError as error:
                raise HTTPException(422, f"inputs.{index}: {error}") from error
        with one_at_a_time:
            outputs = orjson.dumps({"outputs": predictor.answer(examples)})
        return fastapi.Response(outputs, media_type="application/json")

    return app


def _request(body: bytes) -> Request:
    """Parse a body. Raise HTTPException: 400 if it is not JSON, else 422."""
    if not body.strip():
        raise HTTPException(400, f"the body is empty; send {USAGE}")
    try:
        value = strict_json(decoded(body.removeprefix(BYTE_ORDER_MARK)).encode())
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON ({error}); send {USAGE}") from error
    try:
        return Request.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]  # without the input, which may be long
        path = json_path(problem["loc"]) or f"a JSON {json_type(value)}"
        raise HTTPException(422, f"{path}: {problem['msg']}; send {USAGE}") from error


def _example(predictor: Predictor, given: Any) -> Config:
    """Parse an input. Raise ValueError if it is invalid for the task or a text is too long."""
    if not isinstance(given, str | dict):
        raise ValueError(f"expected a text or an object, got a JSON {json_type(given)}")
    example = predictor.parse(given)
    for name, value in example:
        for text in value if isinstance(value, tuple) else [value]:
            if text is not None and len(text) > MAX_INPUT_CHARACTERS:
                raise ValueError(
                    f"{name}: a text of {len(text)} characters, the limit is "
                    f"{MAX_INPUT_CHARACTERS}; split it"
                )
    return example


def serve(predictor: Predictor, host: str = HOST, port: int = PORT) -> None:
    """Serve requests until interrupted. Raise ValueError if the address cannot be bound."""
    try:
        listener = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot serve on {host}:{port}: {reason}; choose another port or host"
        ) from error
    config = uvicorn.Config(create_app(predictor), log_level="info", ws="none")
    with listener:
        uvicorn.Server(config).run([listener])
