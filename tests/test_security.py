"""Files from outside run no code and stay in their folder; secrets are not stored or logged."""

import ast
import http.server
import inspect
import io
import json
import logging
import os
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import psutil
import pytest
import torch
import transformers
from transformers import ElectraConfig, ElectraForPreTraining

from electra_pipeline import stages
from electra_pipeline.cli import models
from electra_pipeline.config import PipelineConfig, to_yaml
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.inputs.files import UrlFile, fetch
from electra_pipeline.pretraining import initialization, snapshot
from electra_pipeline.pretraining.initial_models import InitialModels
from electra_pipeline.serving.predict import load_predictor
from electra_pipeline.storage.artifact import Written, open_artifact, produce
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.models import model_directory
from electra_pipeline.tasks import encoder as starting
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import pretrained, train
from electra_pipeline.tokenizer.config import TokenizerConfig
from electra_pipeline.workflows import preflight

ROOT = Path(__file__).parents[1]
TOKENS = (*SPECIAL_TOKENS, "ana", "lives", *"xyz", *("##" + c for c in "xyz"))
SECRET = "s3cr3t-of-nobody-else"


def calls() -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Place, name, keywords and text of every call in the packages."""
    for package in ("electra_pipeline", "flows"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    keywords = {each.arg or "**": ast.unparse(each.value) for each in node.keywords}
                    place, name = f"{file.name}:{node.lineno}", ast.unparse(node.func)
                    yield place, name, keywords, ast.unparse(node)


def test_no_call_unpickles_evaluates_or_unpacks_files_from_outside() -> None:
    forbidden = {"eval", "exec", "os.system", "pickle.load", "pickle.loads", "cloudpickle.load"}
    forbidden |= {"yaml.load", "yaml.unsafe_load", "joblib.load", "shutil.unpack_archive"}
    seen = set()
    for place, name, keywords, text in calls():
        seen.add(name)
        assert name not in forbidden and not name.endswith(".extractall"), place
        assert keywords.get("shell", "False") == "False", place
        assert "allow_pickle" not in keywords, place
        assert keywords.get("trust_remote_code", "False") == "False", place
        if name == "print" and "database_url" in text:
            assert "redacted" in text, place
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", place
        # Only of this package's folders, of classes without remote code, or with NO_CODE.
        loads_any = name.endswith(".from_pretrained") and "Electra" not in name
        if loads_any and not place.startswith(("train.py", "huggingface.py")):
            assert "**NO_CODE" in text or "model_class" in name, place
    assert {"torch.load", "yaml.safe_load"} <= seen  # it does look at calls


class Executed:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.sign),))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny discriminator of somebody else's."""
    directory = tmp_path / "model"
    shape = ElectraConfig(
        vocab_size=len(TOKENS),
        embedding_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=1,
        num_hidden_layers=1,
    )
    ElectraForPreTraining(shape).save_pretrained(directory)
    train.save(train.assemble(TOKENS, TokenizerConfig()), directory)
    return directory


def evaluate(directory: str) -> None:
    encoder = starting.find_encoder(directory)
    with starting.open_encoder(encoder) as source:
        config = source.load(transformers.AutoConfig)
        starting.load_tokenizer(source, config, of_words=False)
        source.load(transformers.AutoModel)


def continue_from(directory: str) -> None:
    initialization.read(InitialModels(discriminator=directory, generator=directory))


def take_over(directory: str) -> None:
    pretrained.load_pretrained(directory, 64)


def predict(directory: str) -> None:
    load_predictor(directory, device="cpu")


@pytest.mark.parametrize("load", [predict, evaluate, continue_from])
def test_weights_that_are_a_program_are_refused(
    model: Path, load: Callable[[str], None], tmp_path: Path
) -> None:
    sign = tmp_path / "executed"
    (model / "model.safetensors").unlink()
    torch.save({"electra.embeddings": Executed(sign)}, model / "pytorch_model.bin")
    with pytest.raises(ValueError) as caught:
        load(str(model))
    assert not sign.exists() and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):  # the program does work, where it is let run
        sign.rmdir()
    torch.load(model / "pytorch_model.bin", weights_only=False)
    assert sign.is_dir()


def test_a_checkpoint_that_is_a_program_is_refused(tmp_path: Path) -> None:
    sign = tmp_path / "executed"
    torch.save({"model": Executed(sign)}, tmp_path / "step-000000001.pt")
    with pytest.raises(ValueError):
        snapshot._load(Folder(str(tmp_path)), 1, "a checkpoint")
    assert not sign.exists()


@pytest.mark.parametrize("load", [predict, evaluate, take_over])
def test_code_of_a_model_is_not_run_even_if_stdin_says_yes(
    model: Path, load: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = tmp_path / "executed"
    code = f"import os\nos.mkdir({str(sign)!r})\n"
    (model / "theirs.py").write_text(code + "class Theirs: pass\n")
    for name in ("config.json", "tokenizer_config.json"):
        file = model / name
        values = json.loads(file.read_text()) | {
            "auto_map": {
                "AutoConfig": "theirs.Theirs",
                "AutoModel": "theirs.Theirs",
                "AutoTokenizer": ["theirs.Theirs", "theirs.Theirs"],
            },
            "model_type": "theirs",
            "tokenizer_class": "Theirs",
        }
        file.write_text(json.dumps(values))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\ny\n"))
    with pytest.raises(ValueError) as caught:
        load(str(model))
    assert not sign.exists() and "\n" not in str(caught.value)


def test_an_artifact_cannot_name_files_outside_of_it(tmp_path: Path) -> None:
    def write(draft: Any) -> Written:
        draft.folder.write_bytes("data", b"here")
        return Written({}, {})

    identity: dict[str, Any] = {"name": "x", "format_version": 1, "config": {}, "inputs": {}}
    made = produce(root=str(tmp_path), stage="corpus", write=write, **identity)
    manifest = made.folder.read_json("manifest.json")
    for name, sha256 in (("model/../../x", "0" * 64), ("data", "../../x")):
        changed = manifest | {"files": {name: {"bytes": 4, "sha256": sha256}}}
        made.folder.write_json("manifest.json", changed)
        with pytest.raises(ValueError, match="is not a valid file of an artifact"):
            open_artifact(made.folder)


def test_a_remote_model_cannot_write_outside_of_its_copy(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a"))
    (tmp_path / "a").mkdir()
    memory = fsspec.filesystem("memory")
    for file in model.iterdir():
        memory.pipe(f"/theirs/{file.name}", file.read_bytes())
    memory.store["/theirs/a/../../../escaped"] = memory.store["/theirs/config.json"]
    try:
        with model_directory("memory://theirs", generator=False) as directory:
            assert Path(directory).parent == tmp_path / "a"
            copied = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert copied == {file.name for file in model.iterdir()}
    finally:
        memory.store.clear()


@pytest.mark.parametrize("label", ["..", "../../etc/x", "a/../../b"])
def test_a_label_cannot_lead_out_of_the_root(label: str) -> None:
    source = {"type": "files", "urls": ["a.txt"], "label": label}
    with pytest.raises(ValueError, match="would lead out of the root"):
        PipelineConfig.model_validate({"name": "x", "corpus": {"sources": [source]}})


class Texts(http.server.BaseHTTPRequestHandler):
    """Serves a text, and status 404 under /broken."""

    def do_GET(self) -> None:
        body = b"A text that is long enough to be kept, in English, by all rules there are.\n" * 3
        self.send_response(404 if self.path.startswith("/broken") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Texts) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"user:{SECRET}@127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_no_secret_of_a_source_or_a_database_is_stored_or_logged(
    address: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    caplog.set_level(logging.INFO, "electra_pipeline")
    told: list[str] = []
    progress = told.append
    for path in ("texts", "broken"):
        url = f"http://{address}/{path}/a.txt?X-Amz-Signature={SECRET}"
        config = PipelineConfig.model_validate(
            {
                "name": "x",
                "root": str(tmp_path / "root"),
                "database": f"postgresql://me:{SECRET}@127.0.0.1:1/results",
                "corpus": {"sources": [{"type": "files", "urls": [url]}], "held_out_fraction": 0},
            }
        )
        told.append(to_yaml(config))
        if path == "texts":
            context = config.context(progress=lambda update: progress(str(update)))
            stages.run_until("corpus", config, context)
        else:
            with pytest.raises(ValueError, match=r"X-Amz-Signature=\*\*\*: HTTP 404") as failed:
                stages.run_until("corpus", config, config.context())
            with pytest.raises(ValueError, match=r"sig=\*\*\*: no such file") as chained:
                fetch(UrlFile(url=f"zip://a::http://{address}/broken/a.zip?sig={SECRET}"))
            told += traceback.format_exception(failed.value)  # which Prefect logs
            told += traceback.format_exception(chained.value)
        with pytest.raises(ValueError, match="postgresql") as unreachable:
            preflight.check(config, LocalExecutor())
        told += traceback.format_exception(unreachable.value)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"manifest.json", "observed.json", "README.md"} <= {file.name for file in files}
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
    assert SECRET not in caplog.text + "".join(told)
    assert "***@127.0.0.1" in told[0]  # the URL was logged, redacted


def test_serve_listens_on_localhost_by_default() -> None:
    assert inspect.signature(models.serve).parameters["host"].default == "127.0.0.1"


def test_a_prefect_server_listens_on_localhost_by_default(prefect_server: str) -> None:
    port = int(prefect_server.split(":")[-1].split("/")[0])
    listening = [
        connection.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]
    assert listening and set(listening) == {"127.0.0.1"}
