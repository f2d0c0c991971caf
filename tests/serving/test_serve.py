"""The HTTP endpoint, asked over a real socket."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn
from transformers import ElectraConfig, ElectraForMaskedLM

from electra_pipeline.serving import serve as serving
from electra_pipeline.serving.predict import Predictor, load_predictor, predict
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train
from electra_pipeline.tokenizer.config import TokenizerConfig

PIECES = (*SPECIAL_TOKENS, "ana", "lives", "in", "paris", *"xyz", *("##" + c for c in "xyz"))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory: Path = tmp_path_factory.mktemp("generator")
    torch.manual_seed(0)
    shape = ElectraConfig(
        vocab_size=len(PIECES),
        embedding_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
    )
    ElectraForMaskedLM(shape).save_pretrained(directory)
    train.save(train.assemble(PIECES, TokenizerConfig()), directory)
    return load_predictor(str(directory), device="cpu")


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[httpx.Client]:
    with socket.create_server((serving.HOST, 0)) as listener:
        config = uvicorn.Config(serving.create_app(predictor), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        url = f"http://{serving.HOST}:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False) as connected:
            yield connected
        server.should_exit = True
        thread.join()


def test_health(client: httpx.Client, predictor: Predictor) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "model": predictor.model, "task": "fill-mask"}


def test_outputs_equal_those_of_predict(client: httpx.Client, predictor: Predictor) -> None:
    inputs = ["ana lives in [MASK]", {"text": "[MASK] xyz"}]
    answer = client.post("/predict", json={"inputs": inputs})
    assert answer.status_code == 200
    expected = list(predict(predictor, [b"ana lives in [MASK]\n", b'{"text": "[MASK] xyz"}']))
    assert answer.json() == {"outputs": expected}


def test_requests_at_the_same_time(client: httpx.Client) -> None:
    texts = [f"ana [MASK] {'xyz'[i % 3] * (i + 1)}" for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda text: client.post("/predict", json={"inputs": [text]}), texts)
    assert [answer.json()["outputs"][0]["text"] for answer in answers] == texts


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"inputs": ["[MASK]", "no mask"]}, "inputs.1: nothing to fill in 'no mask'"),
        ({"inputs": [{"txt": "[MASK]"}]}, "inputs.0: text: Field required"),
        ({"inputs": [{"text": 7}]}, "inputs.0: text: Input should be a valid string"),
        ({"inputs": [{"text": None}]}, "inputs.0: text: Input should be a valid string"),
        ({"inputs": ['{"text": "[MASK]"']}, "inputs.0: broken JSON"),
        ({"inputs": []}, "inputs: List should have at least 1 item"),
        ({"inputs": ["[MASK]"] * (serving.MAX_INPUTS + 1)}, "at most 256 items"),
        (
            {"inputs": ["[MASK]" * serving.MAX_INPUT_CHARACTERS]},
            "inputs.0: text: a text of 600000 characters, the limit is 100000",
        ),
        ({"inputs": [7]}, "inputs.0: expected a text or an object, got a JSON number"),
        ({"inputs": ["[MASK]", None]}, "inputs.1: expected a text or an object, got a JSON null"),
        ({"inputs": [["[MASK]"]]}, "inputs.0: expected a text or an object, got a JSON list"),
        ({"inputs": "[MASK]"}, "inputs: Input should be a valid list"),
        ({"texts": ["[MASK]"]}, "inputs: Field required"),
        ({"inputs": ["[MASK]"], "parameters": {}}, "parameters: Extra inputs"),
        (["[MASK]"], "a JSON list: Input should be a valid dictionary"),
        (12, "a JSON number: "),
    ],
)
def test_bad_requests(client: httpx.Client, body: object, problem: str) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert problem in detail
    assert len(detail) < 250


CURL = "application/x-www-form-urlencoded"  # of `curl -d`, unless told otherwise


@pytest.mark.parametrize("content_type", [None, CURL, "text/plain", "application/json; x=y"])
def test_the_body_is_json_whatever_its_type(client: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    for mark in (b"", b"\xef\xbb\xbf"):
        body = mark + '{"inputs": ["caf\u00e9 [MASK]"]}'.encode()
        answer = client.post("/predict", content=body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["outputs"][0]["text"] == "caf\u00e9 [MASK]"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"inputs": [', "line 1 column 13"),
        (b'{"inputs":\n ["a",]}', "line 2 column 6"),
        (b"", "the body is empty; send POST /predict"),
        (b" \n", "the body is empty"),
        (b"inputs=%5BMASK%5D", "the body is not JSON"),
        (b'{"inputs": ["caf\xe9"]}', "byte 17: not valid utf-8"),
        (b'{"inputs": ["caf\\ud83d"]}', "the body is not JSON"),
        (b'{"inputs": [], "inputs": ["[MASK]"]}', "the key 'inputs' comes twice"),
        (b"[" * 5000, "the body is not JSON"),
    ],
)
def test_invalid_json_is_refused(client: httpx.Client, body: bytes, problem: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": CURL})
    assert answer.status_code == 400
    detail = answer.json()["detail"]
    assert problem in detail
    assert '{"inputs": [' in detail and "\n" not in detail and len(detail) < 300


def test_compressed_bodies_are_refused(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "'gzip' is not supported" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/", 404),
        ("POST", "/", 404),
        ("POST", "/predict/", 404),
        ("GET", "/predictions", 404),
    ],
)
def test_other_addresses_and_methods_name_the_right_ones(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, content=b"{}")
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert path in detail and 'POST /predict {"inputs": [' in detail and "GET /health" in detail


def test_health_by_head_and_the_schema(client: httpx.Client) -> None:
    assert client.head("/health").status_code == 200
    [body] = (
        client.get("/openapi.json")
        .json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        .values()
    )
    assert body["schema"]["required"] == ["inputs"]


def test_a_connection_that_ends_within_the_body(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection((serving.HOST, client.base_url.port or 80)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    assert client.get("/health").status_code == 200
    assert "Exception in ASGI" not in caplog.text


def test_identity_encoding_is_accepted(client: httpx.Client) -> None:
    headers = {"Content-Encoding": "Identity"}
    answer = client.post("/predict", json={"inputs": ["[MASK]"]}, headers=headers)
    assert answer.status_code == 200


def test_requests_that_are_too_large_are_not_read(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b"x" * (serving.MAX_REQUEST_BYTES + 1))
    assert answer.status_code == 413
    assert "the limit is 16777216" in answer.json()["detail"]
    unbounded = client.post("/predict", content=iter([b"{}"]))
    assert unbounded.status_code == 411


def test_address_in_use_is_refused(predictor: Predictor) -> None:
    with socket.create_server((serving.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot serve on 127.0.0.1:{port}: .*another port"):
            serving.serve(predictor, port=port)
