"""History of a model: what each kept checkpoint of its pre-training is worth on the tasks.

Every checkpoint becomes a model of its own, published, fine-tuned and scored by the same trials as
the model of the last step. Its rows are those of a run `<name>@<step>`. All of it are artifacts, so
that a second call does what is missing alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, StageContext
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.pretraining import snapshot
from electra_pipeline.pretraining.snapshot import Training
from electra_pipeline.storage.artifact import Artifact, find_artifacts


@dataclass(frozen=True)
class History:
    """The newest model, the rows of all steps, and what was lost on the way."""

    newest: Artifact
    steps: dict[str, int]
    """Step of each model, by its fingerprint."""
    rows: list[dict[str, Any]]
    num_trials: int
    lost: list[str]


def run(config: PipelineConfig, executor: Executor, progress: Progress) -> History:
    """Publish, fine-tune, score and record every kept checkpoint, and the last step if it is there.

    Nothing is pre-trained here, and the run may still be going. Raises ValueError if no checkpoint
    was kept, or if there are no tasks.
    """
    training, corpus = _inputs(config, executor, progress)
    rows: list[dict[str, Any]] = []
    trials: list[Trial] = []
    published = list(_published(config, training, corpus, progress))
    for config_of_step, pretrained, model in published:
        rows += stages.record_pretraining(config_of_step, training.sequences, pretrained, model)
        trials += stages.plan_trials(config_of_step, model)
    finished, lost = [], []
    for outcome in stages.run_trials(config, trials, executor, progress):
        trial = trials[outcome.index]
        if outcome.value is None:
            lost.append(f"trial {trial.run}, {trial.label}: {outcome.error}")
        else:
            finished.append(outcome.value)
    rows += stages.record_results(config, finished)
    steps = {model.fingerprint: int(model.counters["steps"]) for _, _, model in published}
    return History(published[-1][2], steps, rows, len(trials), lost)


def _inputs(
    config: PipelineConfig, executor: Executor, progress: Progress
) -> tuple[Training, Artifact]:
    """The training that `config` names and its corpus."""
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    if not any(a.name == config.name for a in find_artifacts(config.root, "sequences")):
        raise ValueError(
            f"{config.root}: nothing of a run {config.name!r} is here; pre-train it first, with "
            "scale.keep_every_steps"
        )
    stages.check(config, executor)
    corpus = stages.build_corpus(config, executor, progress)
    tokenizer = stages.train_tokenizer(config, corpus, progress)
    sequences = stages.build_sequences(config, corpus, tokenizer, executor, progress)
    return Training(
        config.pretrain, tokenizer, sequences, StageContext(config.root, config.name)
    ), corpus


def _published(
    config: PipelineConfig, training: Training, corpus: Artifact, progress: Progress
) -> Iterator[tuple[PipelineConfig, Artifact, Artifact]]:
    """Each step's configuration, pre-trained artifact and published model, in order of steps."""
    steps = training.steps()
    if not steps:
        raise ValueError(
            f"{training.checkpoints}: no checkpoint was kept; scale.keep_every_steps keeps them "
            "while a run trains"
        )
    for num_done, step in enumerate(steps, start=1):
        config_of_step = _at(config, step)
        pretrained = snapshot.extract(training, step)
        model = stages.publish(config_of_step, pretrained, training.tokenizer, corpus)
        progress(Update("history", num_done, len(steps), "checkpoints"))
        yield config_of_step, pretrained, model
    if (finished := training.finished) is not None:
        yield config, finished, stages.publish(config, finished, training.tokenizer, corpus)


def _at(config: PipelineConfig, step: int) -> PipelineConfig:
    """The configuration of a step: no baselines, which are those of the last step at every step,
    and no fine-tuned models, which would fill the disk."""
    assert config.finetune is not None
    finetune = config.finetune.model_copy(update={"baselines": (), "keep_models": "none"})
    return config.model_copy(update={"name": f"{config.name}@{step}", "finetune": finetune})
