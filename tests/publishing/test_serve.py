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

from electra_pipeline import tokenizer
from electra_pipeline.publishing import serve as serving
from electra_pipeline.publishing.predict import Predictor, load_predictor, predict
from electra_pipeline.tokenizer import SPECIAL_TOKENS, TokenizerConfig

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
    tokenizer.save(tokenizer.assemble(PIECES, TokenizerConfig()), directory)
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


def test_answers_are_those_of_predict(client: httpx.Client, predictor: Predictor) -> None:
    inputs = ["ana lives in [MASK]", {"text": "[MASK] xyz"}]
    answer = client.post("/predict", json={"inputs": inputs})
    assert answer.status_code == 200
    expected = list(predict(predictor, ["ana lives in [MASK]", '{"text": "[MASK] xyz"}']))
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
        ({"inputs": []}, "at least 1 item"),
        ({"inputs": ["[MASK]"] * (serving.MAX_INPUTS + 1)}, "at most 256 items"),
        ({"inputs": ["[MASK]" * serving.MAX_INPUT_CHARACTERS]}, "at most 100000 characters"),
        ({"inputs": [7]}, "valid string"),
        ({"inputs": "[MASK]"}, "valid list"),
        ({"texts": ["[MASK]"]}, "Field required"),
    ],
)
def test_bad_requests(client: httpx.Client, body: object, problem: str) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert problem in detail
    assert len(detail) < 200


def test_broken_json(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=b'{"inputs": [', headers=headers)
    assert answer.status_code == 422


def test_requests_that_are_too_large_are_not_read(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b"x" * (serving.MAX_REQUEST_BYTES + 1))
    assert answer.status_code == 413
    assert "the limit is 16777216" in answer.json()["detail"]
    unbounded = client.post("/predict", content=iter([b"{}"]))
    assert unbounded.status_code == 411


def test_an_address_in_use(predictor: Predictor) -> None:
    with socket.create_server((serving.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot serve on 127.0.0.1:{port}: .*another port"):
            serving.serve(predictor, port=port)
