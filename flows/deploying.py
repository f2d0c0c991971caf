"""Deploy the flows to a Prefect server: the build steps of prefect.yaml, and one command for all.

`python -m flows.deploying`, in the folder of prefect.yaml, creates the work pool, the deployments
and the automations of infra/automations.yaml. It can be called at each start: what exists keeps the
settings of its operator.
"""

import hashlib
import json
import subprocess
import sys
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.steps.pull import set_working_directory
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed
from prefect.variables import Variable

from electra_pipeline.config import PipelineConfig
from electra_pipeline.presets import preset_names, preset_text
from flows.local import check_server

AUTOMATIONS = "infra/automations.yaml"
DEPLOYED = "electra_pipeline_deployed"  # Prefect variable with the digest of the last deployment


def presets() -> dict[str, Any]:
    """Return the presets by name, so that prefect.yaml need not repeat them."""
    return {name: yaml.safe_load(preset_text(name)) for name in preset_names()}


def work_queue(pool: str, name: str, limit: int) -> dict[str, Any]:
    """Create a queue of a work pool with a limit of concurrent runs, unless it exists.

    Later operators set its limit: `prefect work-queue set-concurrency-limit NAME N -p POOL`.
    """
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_queue(name=name, concurrency_limit=limit, work_pool_name=pool)
    return {}


def project() -> dict[str, str]:
    """Return the folder of the prefect.yaml that is deployed, from any current folder."""
    return {"folder": str(_prefect_file().parent)}


def _prefect_file() -> Path:
    """Return the file that `prefect deploy` reads; steps can only find it on the command line."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--prefect-file", type=Path, default=Path("prefect.yaml"))
    given, _ = parser.parse_known_args()
    return Path(given.prefect_file).resolve()


def schedules() -> dict[str, Any]:
    """Return whether each schedule of prefect.yaml is active, by flow, deployment and slug.

    A new schedule is inactive; one that the server has keeps its state. A schedule that was added
    by hand gets a slug: Prefect replaces all schedules of a deployment if one has none.
    """
    found: dict[str, Any] = {}
    with get_client(sync_client=True) as client:
        for deployment in yaml.safe_load(_prefect_file().read_text())["deployments"]:
            slugs = [each["slug"] for each in deployment.get("schedules", ())]
            if not slugs:
                continue
            flow, name = deployment["entrypoint"].split(":")[1], deployment["name"]
            found.setdefault(flow, {})[name] = dict.fromkeys(slugs, False) | _active(
                client, f"{flow}/{name}"
            )
    return found


def _active(client: SyncPrefectClient, deployment: str) -> dict[str, bool]:
    try:
        present = client.read_deployment_by_name(deployment)
    except ObjectNotFound:
        return {}
    for schedule in present.schedules:
        if not schedule.slug:
            client.update_deployment_schedule(
                present.id, schedule.id, slug=f"added-{str(schedule.id)[-8:]}"
            )
    return {each.slug: each.active for each in present.schedules if each.slug}


def work_in(folder: str) -> dict[str, str]:
    """Pull step: run in the folder that was deployed from.

    If it does not exist, set the run to Failed with a message that names it: of an error in a step,
    Prefect shows only the exit status. Raises ValueError with the same message.
    """
    try:
        return set_working_directory(folder)
    except OSError as error:
        message = (
            f"{folder}: the folder of this deployment cannot be entered on this machine "
            f"({error.strerror}); deploy again from the folder of prefect.yaml"
        )
        if flow_run.id is not None:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(flow_run.id, Failed(message=message))
        raise ValueError(message) from error


def main() -> None:
    """Create the work pool, deploy changes, create or update the automations.

    Raises ValueError in one line if no server is configured, if it does not answer, or if the
    current folder has no prefect.yaml.
    """
    file = _prefect_file()
    if not file.is_file():
        raise ValueError(
            f"{file}: no such file; call this in the folder of prefect.yaml, which "
            "`electra-pipeline deployment-files` writes"
        )
    if not PREFECT_API_URL.value():
        raise ValueError("PREFECT_API_URL is not set; set it to http://HOST:4200/api of the server")
    check_server()
    with get_client(sync_client=True) as client:
        make_work_pools(client, yaml.safe_load(file.read_text()))
        deploy(file)
        for given in yaml.safe_load((file.parent / AUTOMATIONS).read_text())["automations"]:
            update_automation(client, AutomationCore.model_validate(given))


def make_work_pools(client: SyncPrefectClient, definition: dict[str, Any]) -> None:
    """Create the missing work pools of the deployments, as pools of processes."""
    for name in {each["work_pool"]["name"] for each in definition["deployments"]}:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            print(f"work pool {name}: created")


def deploy(file: Path) -> None:
    """Deploy all of prefect.yaml if it has changed; else edits on the server are kept.

    Raises SystemExit with the status of `prefect deploy` if it fails.
    """
    digest = digest_of(file)
    if Variable.get(DEPLOYED) == digest:
        print("deployments: unchanged since the last deployment")
        return
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run([*command, "--prefect-file", str(file)], check=False)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    Variable.set(DEPLOYED, digest, overwrite=True)


def digest_of(file: Path) -> str:
    """Return a digest of what determines the deployments: prefect.yaml, flows, presets, schema."""
    parts = [str(file), file.read_text(), json.dumps(presets())]
    parts += [each.read_text() for each in sorted(Path(__file__).parent.glob("*.py"))]
    parts.append(json.dumps(PipelineConfig.model_json_schema()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def update_automation(client: SyncPrefectClient, given: AutomationCore) -> None:
    """Create an automation, or update the one of its name; operators enable or disable it.

    An automation that is up to date is not updated: an update forgets the runs that it waits for.
    """
    present = client.read_automations_by_name(given.name)
    if not present:
        client.create_automation(given)
        print(f"automation {given.name}: created")
    for each in present:
        wanted = given.model_copy(update={"enabled": each.enabled})
        if _core(each) != _core(wanted):
            client.update_automation(each.id, wanted)
            print(f"automation {given.name}: updated")


def _core(automation: AutomationCore | Automation) -> dict[str, Any]:
    """Return an automation without the ids that the server gives to it and its parts."""
    return AutomationCore.model_validate(automation.model_dump()).model_dump()


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
