"""Learning curve of a model: evaluate each kept checkpoint of its pre-training on the tasks.

Each checkpoint is published, fine-tuned and scored like the model of the last step, under the run
`<name>@<step>`. All results are artifacts, so that a second call computes only what is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.pretraining import snapshot
from electra_pipeline.pretraining.snapshot import PretrainingRun
from electra_pipeline.stages import run_stage, run_until
from electra_pipeline.storage.artifact import Artifact, find_newest
from electra_pipeline.workflows import evaluate, preflight
from electra_pipeline.workflows.evaluate import Evaluation
from electra_pipeline.workflows.record import record_pretraining


@dataclass(frozen=True)
class LearningCurve:
    """The newest model, the step of each model, and the evaluation of all of them."""

    newest: Artifact
    steps: dict[str, int]
    """Step of each model, by its fingerprint."""
    evaluation: Evaluation


def run(config: PipelineConfig, context: StageContext) -> LearningCurve:
    """Publish, fine-tune, score and record each kept checkpoint, and the last step if finished.

    Does not pre-train; the pre-training may still be running. Raises ValueError if no checkpoint
    was kept, or if there are no tasks.
    """
    training, made = _training(config, context)
    rows, trials, models = [], list[Trial](), []
    for config_of_step, pretrained in _checkpoints(config, training, context):
        inputs = {**made, "pretrain": pretrained}
        context_of_step = config_of_step.context(context.executor, context.progress)
        model = run_stage("publish", config_of_step, context_of_step, inputs)
        models.append(model)
        rows += record_pretraining(config_of_step, {**inputs, "publish": model})
        trials += evaluate.plan_trials(config_of_step, model)
    found = evaluate.run(config, trials, context)
    found.record(config)
    found.rows = [*rows, *found.rows]
    steps = {model.fingerprint: int(model.counters["steps"]) for model in models}
    return LearningCurve(models[-1], steps, found)


def _training(
    config: PipelineConfig, context: StageContext
) -> tuple[PretrainingRun, dict[str, Artifact]]:
    """Return the pre-training of `config` and the artifacts that it reads."""
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    if find_newest(config.root, "sequences", config.name) is None:
        raise ValueError(
            f"{config.root}: no run {config.name!r} found; pre-train it first, with "
            "scale.keep_every_steps"
        )
    preflight.check(config, context.executor)
    made = run_until("sequences", config, context)
    return PretrainingRun(config.pretrain, made["tokenizer"], made["sequences"], context), made


def _checkpoints(
    config: PipelineConfig, training: PretrainingRun, context: StageContext
) -> Iterator[tuple[PipelineConfig, Artifact]]:
    """Yield configuration and pre-trained artifact of each step, in order of steps."""
    steps = training.steps()
    if not steps:
        raise ValueError(
            f"{training.checkpoints}: no checkpoint was kept; scale.keep_every_steps keeps them "
            "while a run trains"
        )
    for num_done, step in enumerate(steps, start=1):
        yield _config_of_step(config, step), snapshot.from_checkpoint(training, step)
        context.progress(Update("learning-curve", num_done, len(steps), "checkpoints"))
    if (finished := training.finished) is not None:
        yield config, finished


def _config_of_step(config: PipelineConfig, step: int) -> PipelineConfig:
    """Return the configuration of a checkpoint's run.

    Without baselines, which are the same at every step, and without fine-tuned models, which would
    fill the disk.
    """
    assert config.finetune is not None
    finetune = config.finetune.model_copy(update={"baselines": (), "keep_models": "none"})
    return config.model_copy(update={"name": f"{config.name}@{step}", "finetune": finetune})
