"""prefect.yaml and infra/automations.yaml: what a server is offered, without one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.templating import apply_values

from electra_pipeline.config import PipelineConfig, preset_text
from flows.deploying import presets
from flows.local import ENVIRONMENT

ROOT = Path(__file__).parents[2]
GPU_FLOWS = {"electra", "pretrain", "finetune"}


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def flow_of(deployment: dict[str, Any]) -> str:
    return str(deployment["entrypoint"].split(":")[1])


DEPLOYMENTS = {
    f"{flow_of(each)}/{each['name']}": each for each in load("prefect.yaml")["deployments"]
}
FLOWS = {
    name
    for file in (ROOT / "flows").glob("*.py")
    for name in re.findall(r'@flow\(name="(\w+)"', file.read_text())
}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_has_the_parameters_of_its_preset(name):
    deployment = DEPLOYMENTS[name]
    parameters = apply_values(deployment["parameters"], {"presets": presets()})
    assert parameters["config"] == yaml.safe_load(preset_text(deployment["name"]))
    validated = load_flow_from_entrypoint(deployment["entrypoint"]).validate_parameters(parameters)
    assert validated["config"] == PipelineConfig.model_validate(parameters["config"])


def test_every_flow_has_a_deployment_and_its_name_is_one():
    assert {flow_of(each) for each in DEPLOYMENTS.values()} == FLOWS
    assert len(DEPLOYMENTS) == len(load("prefect.yaml")["deployments"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_runs_that_take_gpus_wait_in_the_queue_that_has_a_limit(name):
    steps = {key: value for step in load("prefect.yaml")["build"] for key, value in step.items()}
    limited = steps["flows.deploying.work_queue"]
    given = DEPLOYMENTS[name]["work_pool"]
    assert limited["limit"] == 1 and limited["pool"] == given["name"]
    takes_gpus = flow_of(DEPLOYMENTS[name]) in GPU_FLOWS
    assert given["work_queue_name"] == (limited["name"] if takes_gpus else "default")


def test_no_schedule_is_on_before_somebody_switches_it_on():
    schedules = [s for each in DEPLOYMENTS.values() for s in each.get("schedules", [])]
    assert {"cron", "interval"} <= {key for schedule in schedules for key in schedule}
    assert not any(schedule["active"] for schedule in schedules)


def test_a_live_run_sends_several_heartbeats_before_it_is_taken_for_dead():
    (given,) = load("infra/automations.yaml")["automations"]
    seconds_of_silence = given["trigger"]["within"]
    frequency = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    for deployment in DEPLOYMENTS.values():
        seconds = int(deployment["work_pool"]["job_variables"]["env"][frequency])
        assert seconds_of_silence >= 3 * seconds
    assert seconds_of_silence >= 3 * int(ENVIRONMENT[frequency])


def test_every_flow_is_watched_for_its_heartbeats():
    (given,) = load("infra/automations.yaml")["automations"]
    assert set(given["trigger"]["match_related"]["prefect.resource.name"]) == FLOWS


def test_the_containers_work_for_the_pool_of_the_deployments():
    (pool,) = {each["work_pool"]["name"] for each in DEPLOYMENTS.values()}
    text = (ROOT / "infra/compose.yaml").read_text()
    assert f"work-pool create {pool} " in text and f"worker start --pool {pool}" in text


def test_an_unknown_key_in_a_parameter_is_named():
    from flows.electra import electra

    config = presets()["quickstart"] | {"colour": "blue"}
    with pytest.raises(ParameterTypeError, match=r"config\.colour"):
        electra.validate_parameters({"config": config})


def test_the_form_explains_its_keys():
    from flows.electra import electra

    definitions = electra.parameters.model_dump()["definitions"]
    workers = definitions["Scale"]["properties"]["workers"]
    assert workers["description"].startswith("Pre-training workers;")


def test_a_stage_has_the_time_that_the_configuration_gives_it():
    from flows import stages
    from flows.session import timed

    config = PipelineConfig.model_validate(
        {"name": "a", "scale": {"timeout_seconds": {"corpus": 9}}}
    )
    assert timed(stages.corpus, config).timeout_seconds == 9
    assert timed(stages.pretrain, config).timeout_seconds is None
    with pytest.raises(ValueError, match=r"scale\.timeout_seconds\.corpse"):
        PipelineConfig.model_validate({"name": "a", "scale": {"timeout_seconds": {"corpse": 9}}})
