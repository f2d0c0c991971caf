"""infra/: schemas hold, versions are the pinned ones, secrets stay secret."""

import json
import re
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
# As compose-go 2.1 of the Compose Specification's authors has it (Apache-2.0).
COMPOSE_SCHEMA = ROOT / "tests/infra/compose-spec.json"


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line)


def test_pinned_versions_are_the_ones_that_files_name():
    pins = pinned()
    cluster, job = load("infra/k8s/raycluster.yaml"), load("infra/k8s/rayjob.yaml")
    assert cluster["spec"]["rayVersion"] == pins["ray"]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pins["ray"]
    assert load("prefect.yaml")["prefect-version"] == pins["prefect"]
    server = load("infra/helm/prefect-server.yaml")["global"]["prefect"]["image"]
    worker = load("infra/helm/prefect-worker.yaml")["worker"]["image"]
    required = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    python = re.search(r"^FROM python:([\d.]+)", (ROOT / "infra/Dockerfile").read_text(), re.M)
    assert python and required and python[1] == required[1]
    for image in (server, worker):
        assert image["prefectTag"].startswith(f"{pins['prefect']}-python{python[1]}")


def test_what_the_image_installs_is_pinned():
    extra = re.search(r'"\.\[(\w+)\]"', (ROOT / "infra/Dockerfile").read_text())
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert extra
    packages = re.search(rf'^{extra[1]} = \["(\w+)', pyproject, re.M)
    assert packages and packages[1] in pinned()


def test_the_image_copies_existing_files_that_docker_may_read():
    reached = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        name
        for line in (ROOT / "infra/Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for name in line.split()[1:-1]
        if not name.startswith("--")
    }
    assert copied == reached and all((ROOT / name).exists() for name in copied)


@pytest.mark.integration
def test_secrets_come_into_the_environment_under_their_names(tmp_path: Path):
    script = (ROOT / "infra/with-secrets.sh").read_text()
    secret = "it's  a $secret\n\twith `lines`\\n and ä"
    (tmp_path / "TOKEN").write_text(f"{secret}\n")
    (tmp_path / "postgres-password").write_text("read by its path")
    (tmp_path / "folder").mkdir()
    show = ["sh", "-c", 'printf "%s %s\n" "$TOKEN" "$@"', "sh", "two words"]
    for folder, expected in ((tmp_path, f"{secret} two words"), ("/nowhere", " two words")):
        here = script.replace("/run/secrets", str(folder))
        done = subprocess.run(["sh", "-c", here, "with-secrets", *show], capture_output=True)
        assert done.stdout.decode() == expected + "\n", done.stderr


@pytest.mark.integration
def test_a_secret_that_cannot_be_read_stops_the_command(tmp_path: Path):
    script = (ROOT / "infra/with-secrets.sh").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path / "TOKEN").write_text("secret")
    # As the file of another user: root reads any.
    failing = script.replace("cat ", "cat --no-such-option ")
    for text, expected in ((script, (0, b"runs\n")), (failing, (1, b""))):
        done = subprocess.run(
            ["sh", "-c", text, "with-secrets", "echo", "runs"], capture_output=True
        )
        assert (done.returncode, done.stdout) == expected


def test_the_worker_waits_until_the_flows_are_deployed():
    compose = load("infra/compose.yaml")["services"]
    assert compose["deploy"]["command"] == ["python", "-m", "flows.deploying"]
    assert compose["deploy"]["restart"] == "on-failure"  # not again when it has succeeded
    waits = compose["prefect-worker"]["depends_on"]["deploy"]["condition"]
    assert waits == "service_completed_successfully"
    # Nothing that undoes at a start what an operator has changed.
    assert "--overwrite" not in str(compose) and " deploy " not in str(compose)


def test_automations_see_runs_that_died_during_an_outage_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
):
    # By default Prefect forgets after a minute which runs it waits for.
    from prefect.settings.models.server.events import ServerEventsSettings

    name = "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER"
    compose = load("infra/compose.yaml")["services"]["prefect-server"]["environment"]
    helm = load("infra/helm/prefect-server.yaml")["global"]["prefect"]["env"]
    for value in (compose[name], *(each["value"] for each in helm if each["name"] == name)):
        monkeypatch.setenv(name, value)
        assert ServerEventsSettings().expired_bucket_buffer.days == 7
    assert name in str(helm)


def test_the_compose_file_is_valid_and_exposes_no_secrets_or_ports():
    compose = load("infra/compose.yaml")
    jsonschema.Draft201909Validator(json.loads(COMPOSE_SCHEMA.read_text())).validate(compose)
    services = compose["services"]
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("postgres").startswith("postgres:")
    assert set(images.values()) == {"electra-pipeline"}
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        for given in service.get("secrets", ()):
            source = given if isinstance(given, str) else given["source"]
            assert source in compose["secrets"]
        # Shown by `docker inspect`: names, paths, switches.
        for name, value in service.get("environment", {}).items():
            is_secret = re.search("PASSWORD|TOKEN|AUTH_STRING|SECRET", name)
            assert not is_secret or value.startswith("/run/secrets/"), name


def test_pods_are_not_root_and_request_their_limits():
    cluster, job = load("infra/k8s/raycluster.yaml"), load("infra/k8s/rayjob.yaml")
    for spec in (cluster["spec"], job["spec"]["rayClusterSpec"]):
        assert spec["authOptions"] == {"mode": "token"}
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            volumes = {volume["name"] for volume in pod["volumes"]}
            (container,) = pod["containers"]
            assert container["image"] == "electra-pipeline"
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_a_job_runs_an_existing_command():
    from electra_pipeline.cli.app import app

    program, command, *_ = load("infra/k8s/rayjob.yaml")["spec"]["entrypoint"].split()
    assert program == "electra-pipeline"
    assert command in {each.name for each in app.registered_commands}


def test_the_launcher_file_is_valid_for_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(load("infra/ray-launcher.yaml")))
    broken = load("infra/ray-launcher.yaml") | {"colour": "blue"}
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        validate_config(broken)


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_the_templates_of_work_pools_are_valid_for_prefect(kind: str):
    from prefect.server.schemas.core import WorkPool
    from prefect.utilities.schema_tools import validate
    from prefect.utilities.templating import apply_values, find_placeholders

    template = json.loads((ROOT / f"infra/work-pools/{kind}.json").read_text())
    views = resources.files("prefect.server.api.collections_data.views")
    published = json.loads((views / "aggregate-worker-metadata.json").read_text())
    theirs = published[f"prefect-{kind}"][kind]["default_base_job_configuration"]
    assert set(template["job_configuration"]) <= set(theirs["job_configuration"])
    WorkPool(name=kind, type=kind, base_job_template=template)
    properties = template["variables"]["properties"]
    defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
    validate(defaults, template["variables"], raise_on_error=True)
    # Each variable is used; those that Prefect fills in itself have no default.
    used = {placeholder.name for placeholder in find_placeholders(template["job_configuration"])}
    assert used == set(properties)
    assert set(properties) - set(defaults) == {"name", "labels"}
    filled = apply_values(template["job_configuration"], defaults, remove_notset=True)
    assert (
        "--num-cpus=0" in filled["command"] and "exec prefect flow-run execute" in filled["command"]
    )
    if kind == "kubernetes":
        pod = filled["job_manifest"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        # Prefect's worker refuses a manifest without these two.
        assert (pod["completions"], pod["parallelism"]) == (1, 1)
