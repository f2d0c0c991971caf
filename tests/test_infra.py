"""infra/ and prefect.yaml: they load, their versions are the pinned ones, presets do not drift."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from electra_pipeline.config import PipelineConfig, preset_text

ROOT = Path(__file__).parents[1]


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line)


DEPLOYMENTS = {each["name"]: each for each in load("prefect.yaml")["deployments"]}


def test_pinned_versions_are_the_ones_that_files_name():
    assert load("infra/k8s/raycluster.yaml")["spec"]["rayVersion"] == pinned()["ray"]
    assert load("prefect.yaml")["prefect-version"] == pinned()["prefect"]
    python = re.search(r"^FROM python:([\d.]+)", (ROOT / "infra/Dockerfile").read_text(), re.M)
    required = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert python and required and python[1] == required[1]


def test_the_image_copies_what_is_there():
    for line in (ROOT / "infra/Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), line


def test_all_services_of_ours_run_one_image():
    services = load("infra/compose.yaml")["services"]
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("postgres").startswith("postgres:")
    assert set(images.values()) == {"electra-pipeline"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_parameters_of_a_deployment_are_valid_and_those_of_the_preset(name):
    from prefect.flows import load_flow_from_entrypoint

    deployment = DEPLOYMENTS[name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    validated = flow.validate_parameters(deployment["parameters"])
    config = deployment["parameters"]["config"]
    assert validated["config"] == PipelineConfig.model_validate(config)
    assert config == yaml.safe_load(preset_text(config["name"]))


def test_a_live_run_sends_several_heartbeats_before_it_is_taken_for_dead():
    from flows.local import ENVIRONMENT

    (given,) = load("infra/automations.yaml")["automations"]
    seconds_of_silence = given["trigger"]["within"]
    frequency = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    for deployment in DEPLOYMENTS.values():
        seconds = int(deployment["work_pool"]["job_variables"]["env"][frequency])
        assert seconds_of_silence >= 3 * seconds
    assert seconds_of_silence >= 3 * int(ENVIRONMENT[frequency])


def test_every_flow_is_watched_for_its_heartbeats():
    (given,) = load("infra/automations.yaml")["automations"]
    sources = [file.read_text() for file in (ROOT / "flows").glob("*.py")]
    flows = [name for source in sources for name in re.findall(r'@flow\(name="(\w+)"', source)]
    assert sorted(given["trigger"]["match_related"]["prefect.resource.name"]) == sorted(flows)


def test_an_unknown_key_in_a_parameter_is_named():
    from prefect.exceptions import ParameterTypeError

    from flows.electra import electra

    config = DEPLOYMENTS["quickstart"]["parameters"]["config"] | {"colour": "blue"}
    with pytest.raises(ParameterTypeError, match=r"config\.colour"):
        electra.validate_parameters({"config": config})


def test_the_form_explains_its_keys():
    from flows.electra import electra

    definitions = electra.parameters.model_dump()["definitions"]
    workers = definitions["Scale"]["properties"]["workers"]
    assert workers["description"].startswith("Pre-training workers;")
