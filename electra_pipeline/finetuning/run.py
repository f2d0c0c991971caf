"""Run one trial: fine-tune, score, and write its artifact."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from electra_pipeline.core.execution import Precision
from electra_pipeline.core.precision import dtype_name, matrix_dtype
from electra_pipeline.core.progress import Progress, Update, silent
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.finetuning.arithmetic import autocast
from electra_pipeline.finetuning.cache import load_encoded
from electra_pipeline.finetuning.loop import reproducible, train
from electra_pipeline.finetuning.scoring import calibrated, score
from electra_pipeline.finetuning.trial import STAGE, Trial, find_trial, identity
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.tasks.data.load import TaskData
from electra_pipeline.tasks.encoder import find_encoder, load_tokenizer, new_model, open_encoder
from electra_pipeline.tasks.kinds.decoding_settings import write_settings
from electra_pipeline.tasks.kinds.encoding import num_unknown
from electra_pipeline.tasks.kinds.inference import predict
from electra_pipeline.tasks.kinds.kind import Encoded, TaskKind
from electra_pipeline.text.tokenizer_files import save_loadable
from electra_pipeline.text.words import count_characters


def run_trial(
    trial: Trial,
    *,
    num_threads: int = 1,
    precision: Precision = "auto",
    progress: Progress = silent,
) -> Artifact:
    """Fine-tune and score one trial; return the finished artifact if it exists.

    The artifact has `predictions.parquet`, `model/` if the trial keeps it, and as counters the
    metrics of each split with their intervals. Raises ValueError if the data changed since planning
    or the loss is not finite.
    """
    return produce(
        **identity(trial),
        write=lambda draft: _write(trial, draft, num_threads, precision, progress),
    )


def _write(
    trial: Trial, draft: Draft, num_threads: int, precision: Precision, progress: Progress
) -> Written:
    def report(done: int, total: int, unit: str, metrics: Mapping[str, Any]) -> None:
        progress(Update(STAGE, done, total, unit, metrics, item=trial.full_label))

    hyperparameters = trial.hyperparameters
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = matrix_dtype(precision, device)
    try:
        with reproducible(trial.seed, num_threads):
            model, tokenizer, data, encoded = _load(trial)
            model = model.to(device)
            training = train(
                model,
                data.kind,
                encoded.features,
                hyperparameters,
                seed=trial.seed,
                dtype=dtype,
                report=lambda step, steps, loss: report(step, steps, "steps", {"loss": loss}),
            )
            data.kind.finish(model)

            def predicted(
                kind: TaskKind[Any, Any], examples: Sequence[Any], step: str
            ) -> list[Any]:
                with autocast(device, torch.float32 if kind.scored_in_float32 else dtype):
                    return predict(
                        model,
                        tokenizer,
                        kind,
                        examples,
                        max_length=hyperparameters.max_length,
                        batch_examples=hyperparameters.batch_examples,
                        report=lambda done, total: report(done, total, "inputs", {"step": step}),
                    )[1]

            data, calibration = calibrated(data, predicted)
            scores = score(data, predicted, draft)
    except ValueError as error:
        raise ValueError(f"{trial.label}: {error}") from error
    if trial.keep_model:
        write_settings(model.config, data.kind, hyperparameters.max_length, data.train)
        _save_model(trial, model, tokenizer, scores.metrics, draft)
    notes = ["degenerate"] if scores.degenerate else []
    notes += [f"after {trial.parent.task.name}"] if trial.parent is not None else []
    counters = {
        "run": trial.run,
        **data.counters,
        **asdict(scores),
        "note": "; ".join(notes) or None,
        "calibration": calibration,
        "truncated_train_examples": len(encoded.truncated),
        "truncated_train_characters": sum(encoded.truncated.values()),
        "train_characters": sum(count_characters(example.content) for example in data.train),
        "unknown_train_examples": num_unknown(encoded.features, tokenizer),
        "training": training,
    }
    observed = {
        "device": str(device),
        "num_threads": num_threads,
        "precision": dtype_name(dtype),
    }
    return Written(counters, observed)


def _load(trial: Trial) -> tuple[Any, Any, TaskData, Encoded]:
    """Return the initial model, its tokenizer, the task's examples and the training inputs.

    The initial weights of the head depend on the seed alone. Raises ValueError if the artifact of
    the trial's parent does not exist, or if the data changed since planning.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_encoder(trial.source))
        config = source.load(transformers.AutoConfig)
        tokenizer = load_tokenizer(source, config, of_words=trial.task.type == "tagging")
        longest = trial.hyperparameters.max_length
        data, encoded = load_encoded(trial.task, trial.data, trial.digests, tokenizer, longest)
        config = source.load(transformers.AutoConfig, **data.kind.head)
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id
        weights = source if trial.encoder is not None else None
        if trial.parent is not None:
            if (parent := find_trial(trial.parent)) is None:
                raise ValueError(
                    f"its parent trial ({trial.parent.label}) has no artifact; run that trial again"
                )
            weights = stack.enter_context(open_encoder(find_encoder(parent)))
        return new_model(data.kind, config, weights), tokenizer, data, encoded


def _save_model(
    trial: Trial,
    model: Any,
    tokenizer: Any,
    metrics: Mapping[str, Mapping[str, float]],
    draft: Draft,
) -> None:
    """Write `model/`: weights, config, tokenizer and card, as transformers loads them."""
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
        with quiet_transformers():
            model.cpu().save_pretrained(scratch)
        save_loadable(tokenizer, Path(scratch))
        card = _card(trial, model, metrics)
        (Path(scratch) / "README.md").write_text(card, encoding="utf-8")
        (draft.folder / "model").upload(Path(scratch))


def _card(trial: Trial, model: Any, metrics: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [{model.config.model_type}]",
        "---",
        f"# {type(model).__name__}, fine-tuned on {trial.task.name} ({trial.task.type})",
        "",
        f"Run `{trial.run}`, {trial.init} weights of model `{trial.source.fingerprint}`, "
        f"seed {trial.seed}. Made by electra-pipeline.",
        "",
        "| split | metric | value |",
        "|---|---|---|",
    ]
    lines += [
        f"| {split} | {metric} | {value:.4f} |"
        for split, scores in metrics.items()
        for metric, value in scores.items()
    ]
    return "\n".join([*lines, ""])
