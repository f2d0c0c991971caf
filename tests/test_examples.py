"""Each example of examples/ runs with its one command, and its configuration is checked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from electra_pipeline.config import PipelineConfig
from electra_pipeline.results import store

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDERS = sorted(file.parent for file in EXAMPLES.glob("*/run.sh"))
CONFIGURATIONS = sorted(set(EXAMPLES.glob("*/*.yaml")) - set(EXAMPLES.glob("*/prefect.yaml")))
HEADER = "# yaml-language-server: $schema=../config.schema.json"
FEW_STEPS = ("pretrain.steps=4", "pretrain.warmup_steps=1", "pretrain.batch_sequences=4")


def run(name: str, folder: Path, *settings: str) -> str:
    """Run an example in a copy of its folder, and return what it prints."""
    generated = shutil.ignore_patterns("data", "model", "runs", "prefect-home", "*.log")
    shutil.copytree(EXAMPLES / name, folder, ignore=generated)
    options = [part for each in settings for part in ("--set", each)]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(folder / "run.sh"), *options],
        env=plain | {"PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def test_the_schema_is_that_of_the_configuration() -> None:
    """Written by `electra-pipeline config --schema`."""
    schema = json.loads((EXAMPLES / "config.schema.json").read_text())
    assert schema.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert schema == PipelineConfig.model_json_schema()


def test_each_example_has_its_readme_and_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert len(FOLDERS) >= 4
    for folder in FOLDERS:
        assert f"]({folder.name})" in listed
        assert "sh run.sh" in (folder / "README.md").read_text()


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_configuration_is_valid_and_names_the_schema(file: Path) -> None:
    text = file.read_text()
    assert text.startswith(HEADER)
    PipelineConfig.model_validate(yaml.safe_load(text))


def test_the_deployment_has_the_configuration_of_its_file() -> None:
    folder = EXAMPLES / "scheduled-deployment"
    (deployment,) = yaml.safe_load((folder / "prefect.yaml").read_text())["deployments"]
    assert deployment["parameters"]["config"] == yaml.safe_load(
        (folder / "config.yaml").read_text()
    )


@pytest.mark.integration
def test_own_language(tmp_path: Path) -> None:
    settings = (*FEW_STEPS, "finetune.seeds=[0]", "finetune.epochs=1")
    printed = run("own-language", tmp_path / "example", *settings)
    assert "konu" in printed
    rows = store.read(f"sqlite:///{tmp_path}/example/runs/results.db")
    assert {row["model"] for row in rows if row["task"] == "konu"} >= {"pretrained", "random"}
    (manifest,) = tmp_path.glob("example/runs/corpus/*/manifest.json")
    assert json.loads(manifest.read_text())["counters"]["languages"] == {"tr": 400}


@pytest.mark.integration
def test_evaluate_a_model(tmp_path: Path) -> None:
    settings = ("finetune.seeds=[0]", "finetune.epochs=1")
    printed = run("evaluate-a-model", tmp_path / "example", *settings)
    assert "department" in printed and "entities" in printed
    rows = store.read(f"sqlite:///{tmp_path}/example/runs/results.db")
    assert {row["task"] for row in rows} >= {"department", "entities"}


@pytest.mark.integration
def test_continue_pretraining(tmp_path: Path) -> None:
    printed = run("continue-pretraining", tmp_path / "example", *FEW_STEPS)
    model = tmp_path / "example" / printed.splitlines()[-1]
    assert model.name.startswith("recipes-")
    assert (model / "discriminator" / "model.safetensors").exists()


@pytest.mark.integration
def test_scheduled_deployment(tmp_path: Path) -> None:
    """A server, a worker and a flow in a Ray of its own: about 60 seconds."""
    printed = run("scheduled-deployment", tmp_path / "example")
    assert printed.splitlines()[-1].startswith("finished letters-")
    assert list(tmp_path.glob("example/runs/corpus/*/manifest.json"))
