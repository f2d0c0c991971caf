"""One leg: fine-tune, score, keep. Its artifact is its own: a failed leg loses only itself."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from electra_pipeline.artifact import Artifact, Draft, Written, locate, open_artifact, produce
from electra_pipeline.evaluation.cost import Cost
from electra_pipeline.evaluation.prepared import prepare
from electra_pipeline.evaluation.scoring import score
from electra_pipeline.evaluation.tasks.data import TaskData
from electra_pipeline.evaluation.tasks.task import Task
from electra_pipeline.evaluation.training import Hyperparameters, reproducible, train
from electra_pipeline.progress import Progress, Update, silent
from electra_pipeline.quiet import quiet_transformers
from electra_pipeline.storage import Folder

STAGE = "finetune"
FORMAT_VERSION = 1
MODEL_FOLDER = "discriminator"  # ELECTRA fine-tunes its discriminator (paper section 2)
MAJORITY = "majority"
Start = Literal["pretrained", "random"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Leg:
    """One fine-tuning: a task, a seed and starting weights. Picklable, runs anywhere."""

    run: str
    root: str
    task: Task
    data: str | None
    start: Start
    seed: int
    model: str
    """URI of the published model's artifact."""
    model_fingerprint: str
    hyperparameters: Hyperparameters
    digests: Mapping[str, str]
    """sha256 of each split's examples, as they were when the leg was planned."""
    keep_model: bool
    cost: Cost
    """What it takes, for planning; never part of its identity."""
    parent: "Leg | None" = None
    """The leg whose fine-tuned model this one starts from; null starts from the encoder."""

    @property
    def label(self) -> str:
        return f"{self.task.name}, {self.start}, seed {self.seed}"


def find_leg(leg: Leg) -> Artifact | None:
    """The artifact of a leg that has run, or None."""
    return open_artifact(locate(**_identity(leg)))


def place(leg: Leg) -> str:
    """Where the artifact of a leg lies, finished or not."""
    return str(locate(**_identity(leg)))


def run_leg(
    leg: Leg,
    *,
    num_threads: int = 1,
    device: Device = "auto",
    progress: Progress = silent,
) -> Artifact:
    """Fine-tune and score one leg; nothing is done if its artifact is there already.

    The artifact has `predictions.jsonl`, `model/` if the leg keeps it, and as counters the metrics
    of each split. Raises ValueError if the data changed since planning or the loss is not finite.
    """
    return produce(
        **_identity(leg), write=lambda draft: _write(leg, draft, num_threads, device, progress)
    )


def _identity(leg: Leg) -> dict[str, Any]:
    """What names the leg's artifact, for `produce` and `locate`."""
    return {
        "root": leg.root,
        "stage": STAGE,
        "name": f"{leg.run}-{leg.task.name}-{leg.start}-{leg.seed}",
        "format_version": FORMAT_VERSION,
        "config": {
            "task": leg.task.name,
            "type": leg.task.type,
            "metrics": list(leg.task.metrics),
            "labels": list(leg.task.labels) if leg.task.labels else None,
            "symmetric": leg.task.symmetric,
            "start": leg.start,
            "seed": leg.seed,
            "keep_model": leg.keep_model,
            **leg.hyperparameters.model_dump(mode="json"),
        },
        "inputs": {"model": leg.model_fingerprint, **leg.digests},
    }


def _write(leg: Leg, draft: Draft, num_threads: int, device: Device, progress: Progress) -> Written:
    published = open_artifact(Folder(leg.model))
    if published is None:
        raise ValueError(f"{leg.label}: {leg.model} is no finished model; publish it again")
    directory = published.local_folder(MODEL_FOLDER)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    try:
        data, encoded = prepare(
            leg.task, leg.data, leg.digests, tokenizer, leg.hyperparameters.max_length
        )
        with reproducible(leg.seed, num_threads):
            model = _start(leg, data, directory).to(_device(device))
            facts = train(
                model,
                data.problem,
                encoded.features,
                leg.hyperparameters,
                seed=leg.seed,
                num_layers=model.config.num_hidden_layers,
                report=lambda step, steps, loss: progress(
                    Update(STAGE, step, steps, "steps", {"leg": leg.label, "loss": loss})
                ),
            )
            trained_on = str(next(model.parameters()).device)
            data.problem.finish(model)
            metrics, majority = score(
                model, tokenizer, data, hyperparameters=leg.hyperparameters, draft=draft
            )
    except ValueError as error:
        raise ValueError(f"{leg.label}: {error}") from error
    if leg.keep_model:
        _save(leg, model, tokenizer, metrics, draft)
    counters = {
        "run": leg.run,
        **data.counters,
        "metrics": metrics,
        "majority": majority,
        "truncated_train_examples": encoded.num_truncated,
        "training": facts,
    }
    return Written(counters, {"device": trained_on, "num_threads": num_threads})


def _device(name: Device) -> torch.device:
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def _start(leg: Leg, data: TaskData, directory: Path) -> Any:
    """The model before its first step: the same new head whatever the encoder starts from."""
    architecture = transformers.ElectraConfig.from_pretrained(directory, **data.problem.head)
    model = data.problem.build(architecture)
    if leg.start == "pretrained":
        with quiet_transformers():  # it would list the head that is left out
            encoder = transformers.ElectraModel.from_pretrained(directory, dtype=torch.float32)
        model.electra.load_state_dict(encoder.state_dict())
    return model


def _save(
    leg: Leg,
    model: Any,
    tokenizer: Any,
    metrics: Mapping[str, Mapping[str, float]],
    draft: Draft,
) -> None:
    """Write `model/`: weights, config, tokenizer and card, as transformers loads them."""
    lines = [
        f"| {split} | {metric} | {value:.4f} |"
        for split, scores in metrics.items()
        for metric, value in scores.items()
    ]
    card = "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [electra]",
            "---",
            f"# ELECTRA fine-tuned on {leg.task.name} ({leg.task.type})",
            "",
            f"Run `{leg.run}`, {leg.start} weights of model `{leg.model_fingerprint}`, "
            f"seed {leg.seed}. Made by electra-pipeline.",
            "",
            "| split | metric | value |",
            "|---|---|---|",
            *lines,
            "",
        ]
    )
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
        with quiet_transformers():
            model.cpu().save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (Path(scratch) / "README.md").write_text(card, encoding="utf-8")
        (draft.folder / "model").upload(Path(scratch))


def rows(artifact: Artifact) -> list[dict[str, Any]]:
    """The results table's rows of one leg: its metrics, and the majority guess beside them."""
    config, counters, observed = artifact.config, artifact.counters, artifact.observed
    found = []
    for start, scores in (
        (config["start"], counters["metrics"]),
        (MAJORITY, counters["majority"]),
    ):
        for split, values in scores.items():
            for metric, value in values.items():
                found.append(
                    {
                        "run": counters["run"],
                        "model": start,
                        "fingerprint": artifact.inputs["model"],
                        "task": config["task"],
                        "metric": metric,
                        "split": split,
                        "seed": config["seed"],
                        "value": value,
                        "examples": counters["examples"][split],
                        "seconds": observed["seconds"],
                        "leg": artifact.fingerprint,
                        "created_at": observed["created_at"],
                    }
                )
    return found
