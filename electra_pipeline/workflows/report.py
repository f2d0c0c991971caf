"""Write the HTML report of a run: find its model, the artifacts behind it, trials, checkpoints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from electra_pipeline.config import PipelineConfig
from electra_pipeline.results import learning_curves, store
from electra_pipeline.results.database import redacted_database
from electra_pipeline.results.report import errors, report
from electra_pipeline.storage.artifact import Artifact, find_artifacts
from electra_pipeline.storage.folder import Folder


@dataclass(frozen=True)
class Subject:
    """The run of a report, its rows, and its model where that is an artifact below the root."""

    run: str
    model: Artifact | None
    rows: Sequence[dict[str, Any]]


def find_subject(root: str, database: str, run: str | None) -> Subject:
    """Find the run of this name; without a name the newest that published a model, else evaluated.

    A model that was only evaluated may be outside the root. Raises ValueError if there is no run.
    """
    # Without a name: the newest model of a whole run, not of a checkpoint (`NAME@STEP`).
    models = [
        each
        for each in find_artifacts(root, "publish")
        if each.name == run or (run is None and "@" not in each.name)
    ]
    if models:
        model = max(models, key=lambda each: str(each.observed["created_at"]))
        return Subject(model.name, model, store.read(database, run=model.name))
    rows = store.read(database, run=run)
    if not rows:
        wanted = f" of the run {run}" if run else ""
        raise ValueError(
            f"{root}: no published model{wanted}, and no results{wanted} in "
            f"{redacted_database(database)}; `run`, `publish` or `evaluate` makes one, "
            "`results` lists the runs"
        )
    newest = max(rows, key=lambda row: str(row["created_at"]))
    digest = newest["fingerprint"]
    of_model = [r for r in rows if (r["run"], r["fingerprint"]) == (newest["run"], digest)]
    artifact = next((each for each in find_artifacts(root) if each.fingerprint == digest), None)
    return Subject(newest["run"], artifact, of_model)


def write_report(
    config: PipelineConfig, model: Artifact | str, rows: Sequence[dict[str, Any]]
) -> str:
    """Write the report of a run, whose rows are given, below its root; return the path or URI."""
    name = f"{config.name}-report.html"
    artifact = model if isinstance(model, Artifact) else None
    folder = Folder(config.root)
    pages = render(config.root, config.database_url, Subject(config.name, artifact, rows), name)
    for page, text in pages.items():
        folder.write_bytes(page, text.encode())
    return folder.join(name) if folder.is_local else f"{config.root.rstrip('/')}/{name}"


def render(root: str, database: str, subject: Subject, name: str) -> dict[str, str]:
    """Render a report as HTML by file name: `name`, and a page of errors if the model made any.

    The scores of earlier checkpoints of the model are read from the results table.
    """
    run, model, rows = subject.run, subject.model, subject.rows
    made = trace(root, model) if model is not None else {}
    steps = checkpoints_of(root, model) if model is not None else {}
    found = errors.find(trials_of(root, model, rows))
    errors_name = f"{name.removesuffix('.html')}-errors.html"
    curves = learning_curves.learning_curves(store.read(database), steps) if len(steps) > 1 else []
    page = report.write_report(
        run_name=run,
        rows=list(rows),
        artifacts=made,
        learning_curves=curves,
        errors=quote(errors_name) if found else None,
        costs=store.read_costs(database, run=run),
    )
    if not found:
        return {name: page}
    return {name: page, errors_name: errors.render(found, run_name=run, report=quote(name))}


def trace(root: str, model: Artifact) -> dict[str, Artifact]:
    """Return the artifacts that a published model was made from, by stage."""
    by_fingerprint = {artifact.fingerprint: artifact for artifact in find_artifacts(root)}
    found = {model.stage: model}
    unread = [model]
    while unread:
        for digest in unread.pop().inputs.values():
            source = by_fingerprint.get(digest)
            if source is not None and source.stage not in found:
                found[source.stage] = source
                unread.append(source)
    return found


def trials_of(root: str, model: Artifact | None, rows: Iterable[dict[str, Any]]) -> list[Artifact]:
    """Return the trials behind `rows` that fine-tuned the model itself, not a baseline.

    `model` is None where all rows are about one model, which is not an artifact of this root.
    """
    wanted = {
        row["trial"]
        for row in rows
        if row["model"] == "pretrained"
        and (model is None or row["fingerprint"] == model.fingerprint)
    }
    found = find_artifacts(root, "finetune") if wanted else []
    return list(
        {trial.fingerprint: trial for trial in found if trial.fingerprint in wanted}.values()
    )


def checkpoints_of(root: str, model: Artifact) -> dict[str, int]:
    """Return step by fingerprint of all models that were published from `model`'s pre-training.

    Empty for a model whose pre-training is not below the root.
    """
    source = model.inputs.get("pretrained")
    snapshots = find_artifacts(root, "snapshot")
    runs = {each.fingerprint: each.inputs["pretrained"] for each in snapshots}
    run = runs.get(str(source), source)
    if run is None:
        return {}
    sources = {run, *(snapshot for snapshot, of_run in runs.items() if of_run == run)}
    return {
        each.fingerprint: int(each.counters["steps"])
        for each in find_artifacts(root, "publish")
        if each.inputs.get("pretrained") in sources
    }
