"""What a report is drawn from: the artifacts behind a model, its trials, its other checkpoints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from electra_pipeline.results import learning_curves, store
from electra_pipeline.results.report import errors, report
from electra_pipeline.storage.artifact import Artifact, find_artifacts


@dataclass(frozen=True)
class Subject:
    """What a report is about: a run, its model where that is an artifact of ours, its rows."""

    run: str
    model: Artifact | None
    rows: Sequence[dict[str, Any]]


def find_subject(root: str, database: str, run: str | None) -> Subject:
    """The run of this name, or the newest one: one that published a model, else any evaluation.

    A model that was only evaluated need not lie in the root. Raises ValueError if there is no run.
    """
    # Without a name: the newest model of a whole run, not a checkpoint on the way to one.
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
            f"{root}: no published model{wanted}, and no results{wanted} in {store.shown(database)}"
            "; `run`, `publish` or `evaluate` makes one, `results` lists the runs"
        )
    newest = max(rows, key=lambda row: str(row["created_at"]))
    digest = newest["fingerprint"]
    of_model = [r for r in rows if (r["run"], r["fingerprint"]) == (newest["run"], digest)]
    model_of_ours = next((a for a in find_artifacts(root) if a.fingerprint == digest), None)
    return Subject(newest["run"], model_of_ours, of_model)


def render(
    root: str,
    database: str,
    run: str,
    model: Artifact | None,
    rows: Sequence[dict[str, Any]],
    name: str,
) -> dict[str, str]:
    """The report of a model as HTML by file name: `name`, and a page of its errors if it has any.

    `model` is None for one that is no artifact of ours; `rows` are those of its run. What earlier
    checkpoints of the model scored is read from the results table.
    """
    made = trace(root, model) if model is not None else {}
    steps = checkpoints_of(root, model) if model is not None else {}
    found = errors.find(trials_of(root, model, rows))
    errors_name = f"{name.removesuffix('.html')}-errors.html"
    curves = learning_curves.learning_curves(store.read(database), steps) if len(steps) > 1 else []
    page = report.write_report(
        run_name=run,
        rows=list(rows),
        pretrain=made.get("snapshot", made.get("pretrain")),
        corpus=made.get("corpus"),
        tokenizer=made.get("tokenizer"),
        sequences=made.get("sequences"),
        learning_curves=curves,
        errors=quote(errors_name) if found else None,
        costs=store.read_costs(database, run=run),
    )
    if not found:
        return {name: page}
    return {name: page, errors_name: errors.render(found, run_name=run, report=quote(name))}


def trace(root: str, model: Artifact) -> dict[str, Artifact]:
    """The artifacts that a published model was made from, by stage."""
    by_fingerprint = {artifact.fingerprint: artifact for artifact in find_artifacts(root)}
    found = {model.stage: model}
    unseen = [model]
    while unseen:
        for digest in unseen.pop().inputs.values():
            source = by_fingerprint.get(digest)
            if source is not None and source.stage not in found:
                found[source.stage] = source
                unseen.append(source)
    return found


def trials_of(root: str, model: Artifact | None, rows: Iterable[dict[str, Any]]) -> list[Artifact]:
    """The trials that fine-tuned the model itself, as far as `rows` come from them.

    `model` is None where all rows are about one model, which is no artifact of ours.
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
    """Step by fingerprint of all models that were published from one pre-training: `model`'s own.

    Empty for a model that does not come from a pre-training of ours.
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
