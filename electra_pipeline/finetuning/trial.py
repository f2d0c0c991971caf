"""One trial: fine-tune, score, keep. Its artifact is its own: a failed trial loses only itself."""

import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from electra_pipeline.core.identity import fingerprint
from electra_pipeline.core.progress import Progress, Update, silent
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.finetuning.cache import prepare
from electra_pipeline.finetuning.calibration import calibrated
from electra_pipeline.finetuning.loop import Hyperparameters, reproducible, train
from electra_pipeline.finetuning.resources import Cost
from electra_pipeline.finetuning.scoring import score
from electra_pipeline.storage.artifact import (
    Artifact,
    Draft,
    Written,
    locate,
    open_artifact,
    produce,
)
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.encoder import Encoder, find_encoder, load_tokenizer, new_model, opened
from electra_pipeline.tasks.kinds import settings
from electra_pipeline.tasks.kinds.kind import Encoded, num_unknown
from electra_pipeline.tasks.task import Task
from electra_pipeline.text.tokenizer_files import save_loadable
from electra_pipeline.text.words import count_characters

STAGE = "finetune"
# 4: the config's metrics are those that the data has; empty records are counted, not scored; the
# kept config.json has how the model is decoded (`problems/settings.py`)
FORMAT_VERSION = 4
PRETRAINED, RANDOM, MAJORITY = "pretrained", "random", "majority"
START_CHARACTERS = 60  # of a baseline's name in the name of a trial's folder
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Trial:
    """One fine-tuning: a task, a seed and starting weights. Picklable, runs anywhere."""

    run: str
    root: str
    task: Task
    metrics: tuple[str, ...]
    """The scores that the task has by its data, its own first."""
    data: str | None
    start: str
    """The model's name in the results: pretrained, random, or a baseline's as the user gave it."""
    seed: int
    model: Encoder
    """The model under test: all baselines stand beside it, under its fingerprint."""
    encoder: Encoder | None
    """Where the weights come from; None for random ones of the model's architecture."""
    hyperparameters: Hyperparameters
    digests: Mapping[str, str]
    """sha256 of each split's examples, as they were when the trial was planned."""
    keep_model: bool
    cost: Cost
    """What it takes, for planning; never part of its identity."""
    parent: "Trial | None" = None
    """The trial whose fine-tuned encoder this one starts from, in the second of two rounds."""
    point: Mapping[str, float] = field(default_factory=dict)
    """The point of the grid of hyperparameters, where there is a grid."""

    @property
    def label(self) -> str:
        point = "".join(f", {name}={value:g}" for name, value in self.point.items())
        return f"{self.task.name}, {self.start}, seed {self.seed}{point}"

    @property
    def full_label(self) -> str:
        """The label among the trials of several runs."""
        return f"{self.run}, {self.label}"

    @property
    def source(self) -> Encoder:
        """Whose architecture and tokenizer the trial has."""
        return self.encoder or self.model


def find_trial(trial: Trial) -> Artifact | None:
    """The artifact of a trial that has run, or None."""
    return open_artifact(locate(**_identity(trial)))


def place(trial: Trial) -> str:
    """Where the artifact of a trial lies, finished or not."""
    return str(locate(**_identity(trial)))


def run_trial(
    trial: Trial,
    *,
    num_threads: int = 1,
    device: Device = "auto",
    progress: Progress = silent,
) -> Artifact:
    """Fine-tune and score one trial; nothing is done if its artifact is there already.

    The artifact has `predictions.parquet`, `model/` if the trial keeps it, and as counters the
    metrics of each split with their intervals. Raises ValueError if the data changed since planning
    or the loss is not finite.
    """
    return produce(
        **_identity(trial), write=lambda draft: _write(trial, draft, num_threads, device, progress)
    )


def _identity(trial: Trial) -> dict[str, Any]:
    """What names the trial's artifact, for `produce` and `locate`."""
    inputs = {
        "model": trial.model.fingerprint,
        "encoder": trial.source.fingerprint,
        **trial.digests,
    }
    if trial.parent is not None:
        inputs["parent"] = _fingerprint(trial.parent)
    start = re.sub(r"[^A-Za-z0-9._-]+", "-", trial.start).strip("-.")[-START_CHARACTERS:]
    return {
        "root": trial.root,
        "stage": STAGE,
        "name": f"{trial.run}-{trial.task.name}-{start}-{trial.seed}",
        "format_version": FORMAT_VERSION,
        "config": {
            "task": trial.task.name,
            "type": trial.task.type,
            "metrics": list(trial.metrics),
            "labels": list(trial.task.labels) if trial.task.labels else None,
            "symmetric": trial.task.symmetric,
            "start": trial.start,
            "after": trial.parent.task.name if trial.parent is not None else None,
            "seed": trial.seed,
            "keep_model": trial.keep_model,
            **trial.hyperparameters.model_dump(mode="json"),
        },
        "inputs": inputs,
    }


def _fingerprint(trial: Trial) -> str:
    identity = _identity(trial)
    return fingerprint(STAGE, identity["format_version"], identity["config"], identity["inputs"])


def _write(
    trial: Trial, draft: Draft, num_threads: int, device: Device, progress: Progress
) -> Written:
    def tell(step: str, done: int, total: int) -> None:
        progress(Update(STAGE, done, total, "inputs", {"step": step}, item=trial.full_label))

    try:
        with reproducible(trial.seed, num_threads):
            model, tokenizer, data, encoded = _start(trial)
            model = model.to(_device(device))
            facts = train(
                model,
                data.problem,
                encoded.features,
                trial.hyperparameters,
                seed=trial.seed,
                report=lambda step, steps, loss: progress(
                    Update(STAGE, step, steps, "steps", {"loss": loss}, item=trial.full_label)
                ),
            )
            trained_on = str(next(model.parameters()).device)
            data.problem.finish(model)
            data, calibration = calibrated(model, tokenizer, data, trial.hyperparameters, tell)
            scores = score(
                model,
                tokenizer,
                data,
                kind=trial.task.type,
                hyperparameters=trial.hyperparameters,
                draft=draft,
                report=tell,
            )
    except ValueError as error:
        raise ValueError(f"{trial.label}: {error}") from error
    if trial.keep_model:
        settings.keep(model.config, data.problem, trial.hyperparameters.max_length, data.train)
        _save(trial, model, tokenizer, scores.metrics, draft)
    notes = [
        *(["degenerate"] if scores.degenerate else []),
        *([f"after {trial.parent.task.name}"] if trial.parent is not None else []),
    ]
    counters = {
        "run": trial.run,
        **data.counters,
        "metrics": scores.metrics,
        "majority": scores.majority,
        "intervals": scores.intervals,
        "degenerate": scores.degenerate,
        "note": "; ".join(notes) or None,
        "calibration": calibration,
        "truncated_train_examples": encoded.num_truncated,
        "truncated_train_characters": sum(encoded.truncated.values()),
        "train_characters": sum(count_characters(example.content) for example in data.train),
        "unknown_train_examples": num_unknown(encoded.features, tokenizer),
        "training": facts,
    }
    return Written(counters, {"device": trained_on, "num_threads": num_threads})


def _device(name: Device) -> torch.device:
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def _start(trial: Trial) -> tuple[Any, Any, TaskData, Encoded]:
    """The model before its first step, its tokenizer, and the task's examples and model inputs.

    For one seed the head is the same whatever the encoder starts from. Raises ValueError if the
    trial's parent is not there, or the data changed since planning.
    """
    with ExitStack() as open_places:
        source = open_places.enter_context(opened(trial.source))
        config = source.load(transformers.AutoConfig)
        tokenizer = load_tokenizer(source, config, of_words=trial.task.type == "tagging")
        longest = trial.hyperparameters.max_length
        data, encoded = prepare(trial.task, trial.data, trial.digests, tokenizer, longest)
        config = source.load(transformers.AutoConfig, **data.problem.head)
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id
        weights = source if trial.encoder is not None else None
        if trial.parent is not None:
            if (parent := find_trial(trial.parent)) is None:
                raise ValueError(
                    f"starts from {trial.parent.label}, which is not there; run that trial again"
                )
            weights = open_places.enter_context(opened(find_encoder(parent)))
        return new_model(data.problem, config, weights), tokenizer, data, encoded


def _save(
    trial: Trial,
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
            f"tags: [{model.config.model_type}]",
            "---",
            f"# {type(model).__name__}, fine-tuned on {trial.task.name} ({trial.task.type})",
            "",
            f"Run `{trial.run}`, {trial.start} weights of model `{trial.source.fingerprint}`, "
            f"seed {trial.seed}. Made by electra-pipeline.",
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
        save_loadable(tokenizer, Path(scratch))
        (Path(scratch) / "README.md").write_text(card, encoding="utf-8")
        (draft.folder / "model").upload(Path(scratch))


def rows(artifact: Artifact, note: str | None = None) -> list[dict[str, Any]]:
    """The results table's rows of one trial: its metrics, and the majority guess beside them.

    `note` is said beside the metrics, after what the trial itself has to say.
    """
    config, counters, observed = artifact.config, artifact.counters, artifact.observed
    notes = "; ".join(each for each in (counters["note"], note) if each)
    found = []
    for start, scores, intervals, said in (
        (config["start"], counters["metrics"], counters["intervals"], notes or None),
        (MAJORITY, counters["majority"], {}, None),
    ):
        for split, values in scores.items():
            for metric, value in values.items():
                lower, upper = intervals.get(split, {}).get(metric, (None, None))
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
                        "lower": lower,
                        "upper": upper,
                        "note": said,
                        "examples": counters["examples"][split],
                        "seconds": observed["seconds"],
                        "trial": artifact.fingerprint,
                        "created_at": observed["created_at"],
                    }
                )
    return found
