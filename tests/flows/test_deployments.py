"""prefect.yaml and infra/automations.yaml, without a server."""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import states
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.utilities.templating import apply_values

from electra_pipeline.config import PipelineConfig, preset_text
from flows import deploying, flow_options, health
from flows.deploying import presets
from flows.local import ENVIRONMENT, check_server

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
QUEUES = {
    step["flows.deploying.work_queue"]["name"]: step["flows.deploying.work_queue"]
    for step in load("prefect.yaml")["build"]
    if "flows.deploying.work_queue" in step
}
AUTOMATIONS = {each["name"]: each for each in load("infra/automations.yaml")["automations"]}
HOLDING = (
    states.Pending(),
    states.Submitting(),
    states.InfrastructurePending(),
    states.Running(),
    states.Retrying(),
)
ENDS = (
    states.Cancelling(),  # the server makes it Cancelled by itself
    states.Scheduled(),
    states.AwaitingRetry(),
    states.AwaitingConcurrencySlot(),
    states.Paused(),
    states.Suspended(),
    states.Completed(),
    states.Failed(),
    states.Cancelled(),
    states.Crashed(),
)
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
    given = DEPLOYMENTS[name]["work_pool"]
    assert {limited["pool"] for limited in QUEUES.values()} == {given["name"]}
    takes_gpus = flow_of(DEPLOYMENTS[name]) in GPU_FLOWS
    assert (given["work_queue_name"] == "gpu") == takes_gpus
    assert all(limited["limit"] == 1 for limited in QUEUES.values())


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_scheduled_runs_wait_for_each_other_in_a_queue(name):
    # Prefect's server forgets the leases of a deployment's own limit when it is started again, and
    # ends the runs that had them.
    assert "concurrency_limit" not in DEPLOYMENTS[name]
    if DEPLOYMENTS[name].get("schedules"):
        assert DEPLOYMENTS[name]["work_pool"]["work_queue_name"] in QUEUES


def test_a_schedule_has_a_slug_and_the_state_of_the_server():
    schedules = [
        (name, schedule)
        for name, each in DEPLOYMENTS.items()
        for schedule in each.get("schedules", [])
    ]
    assert {"cron", "interval"} <= {key for _, schedule in schedules for key in schedule}
    for name, schedule in schedules:
        place = f"schedules.{name.replace('/', '.')}.{schedule['slug']}"
        assert schedule["active"] == f"{{{{ {place} }}}}"


def test_the_project_folder_is_that_of_prefect_yaml(tmp_path, monkeypatch):
    folder = tmp_path / "my project ä"
    folder.mkdir()
    (folder / "prefect.yaml").touch()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("PWD", "/nonsense")
    deploy = ["prefect", "--no-prompt", "deploy", "--all"]
    for cwd, given in (
        (folder, []),
        (tmp_path / "link", []),
        (tmp_path, ["--prefect-file", "link/prefect.yaml"]),
        (Path("/"), [f"--prefect-file={folder}/prefect.yaml"]),
    ):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr("sys.argv", [*deploy, *given])
        assert deploying.project() == {"folder": str(folder)}


def test_a_run_works_in_the_folder_of_its_deployment_or_fails(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (step,) = load("prefect.yaml")["pull"]
    assert step == {"flows.deploying.work_in": {"folder": "{{ project.folder }}"}}
    assert deploying.work_in(str(tmp_path)) == {"directory": str(tmp_path)}
    assert Path.cwd() == tmp_path
    (tmp_path / "file").touch()
    for name, reason in (("gone", "No such file"), ("file", "Not a directory")):
        with pytest.raises(ValueError, match=rf"/{name}: the folder of this dep.*{reason}.*again"):
            deploying.work_in(f"{tmp_path}/{name}")
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("url", "folder", "message"),
    [
        (None, ROOT, "PREFECT_API_URL is not set; set it to"),
        (
            "http://127.0.0.1:9/api",
            ROOT,
            r"cannot reach the Prefect server at http://127\.0\.0\.1:9",
        ),
        (None, ROOT / "flows", r"flows/prefect\.yaml: no such file; call this in the folder of"),
    ],
)
def test_an_unusable_server_is_reported_in_one_line(url, folder, message, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["deploying.py"])
    with (
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(ValueError, match=message) as caught,
    ):
        deploying.main()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 404])
def test_another_service_is_not_a_prefect_server(status, monkeypatch):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<html>a page</html>")

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}"}),
            pytest.raises(ValueError, match=r"no Prefect server at http://127.*4200/api"),
        ):
            check_server()
        server.shutdown()


def test_a_server_that_does_not_answer_has_no_findings():
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert list(health.examine_server()) == []


def test_the_digest_depends_on_definitions_and_folder(tmp_path):
    def digest(folder: str, text: str) -> str:
        file = tmp_path / folder / "prefect.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return deploying.digest_of(file)

    first = digest("a", "name: x")
    assert digest("a", "name: x") == first
    assert len({first, digest("a", "name: y"), digest("b", "name: x")}) == 3


def test_several_heartbeats_must_be_missing_before_a_run_is_marked_as_crashed():
    seconds_of_silence = AUTOMATIONS["crash-silent-runs"]["trigger"]["within"]
    frequency = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    for deployment in DEPLOYMENTS.values():
        seconds = int(deployment["work_pool"]["job_variables"]["env"][frequency])
        assert seconds_of_silence >= 3 * seconds
    assert seconds_of_silence >= 3 * int(ENVIRONMENT[frequency])


@pytest.mark.parametrize("name", AUTOMATIONS)
def test_every_flow_is_watched_in_every_state_that_holds_a_slot(name):
    trigger = AUTOMATIONS[name]["trigger"]
    related = trigger["match_related"]
    (flows, *_) = related if isinstance(related, list) else [related]
    assert set(flows["prefect.resource.name"]) == FLOWS
    # Whatever the run becomes ends the wait.
    ends = {f"prefect.flow-run.{state.name}" for state in ENDS}
    assert ends | set(trigger["after"]) <= set(trigger["expect"])


def test_the_automations_watch_all_states_that_hold_a_slot():
    watched = {event for each in AUTOMATIONS.values() for event in each["trigger"]["after"]}
    assert {f"prefect.flow-run.{state.name}" for state in HOLDING} <= watched
    assert set(health.AUTOMATIONS) == set(AUTOMATIONS)


def test_a_pod_may_start_as_long_as_its_worker_waits_for_it():
    template = json.loads((ROOT / "infra/work-pools/kubernetes.json").read_text())
    waits = template["variables"]["properties"]["pod_watch_timeout_seconds"]["default"]
    assert AUTOMATIONS["crash-containers-that-never-start"]["trigger"]["within"] > waits + 60


def test_the_containers_work_for_the_pool_of_the_deployments():
    (pool,) = {each["work_pool"]["name"] for each in DEPLOYMENTS.values()}
    text = (ROOT / "infra/compose.yaml").read_text()
    assert f"worker start --pool {pool}" in text


def test_an_unknown_key_in_a_parameter_is_named():
    from flows.electra import electra

    config = presets()["quickstart"] | {"colour": "blue"}
    with pytest.raises(ParameterTypeError, match=r"config\.colour"):
        electra.validate_parameters({"config": config})


def test_a_renamed_key_in_a_parameter_is_named_with_its_new_name():
    from flows.electra import electra

    config = presets()["quickstart"] | {"scale": {"cpus_per_leg": 2}}
    with pytest.raises(ParameterTypeError, match=r"scale\.cpus_per_leg: renamed to cpus_per_trial"):
        electra.validate_parameters({"config": config})


def test_the_form_explains_its_keys():
    from flows.electra import electra

    definitions = electra.parameters.model_dump()["definitions"]
    workers = definitions["Scale"]["properties"]["workers"]
    assert workers["description"].startswith("Pre-training workers;")


@pytest.mark.parametrize(("limit", "threads"), [(None, sys.maxsize), (1, 2), (8, 8)])
def test_a_flow_has_threads_for_an_evaluation_and_a_trial(limit, threads, monkeypatch):
    settings = get_current_settings().model_copy(deep=True)
    settings.tasks.runner.thread_pool_max_workers = limit
    monkeypatch.setattr(flow_options, "get_current_settings", lambda: settings)
    monkeypatch.setattr("prefect.task_runners.get_current_settings", lambda: settings)
    assert flow_options.task_runner()._max_workers == threads


def test_a_stage_has_the_time_limit_of_the_configuration():
    from flows import tasks
    from flows.runtime import with_timeout

    config = PipelineConfig.model_validate(
        {"name": "a", "scale": {"timeout_seconds": {"corpus": 9}}}
    )
    assert with_timeout(tasks.STAGES["corpus"], config).timeout_seconds == 9
    assert with_timeout(tasks.STAGES["pretrain"], config).timeout_seconds is None
    with pytest.raises(ValueError, match=r"scale\.timeout_seconds\.corpse"):
        PipelineConfig.model_validate({"name": "a", "scale": {"timeout_seconds": {"corpse": 9}}})
