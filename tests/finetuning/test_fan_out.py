"""Many trials: their costs, their order, and how an interrupted evaluation resumes."""

import logging
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, ElectraConfig

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.finetuning import cache
from electra_pipeline.finetuning import run as finetune
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.order import longest_first, parents
from electra_pipeline.finetuning.plan import plan
from electra_pipeline.finetuning.resources import EncoderShape
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.kinds.text_classification import Classification
from electra_pipeline.workflows import evaluate


@pytest.fixture
def trials(published, task_files, tmp_path):
    """Trials of a step or two each: two tasks, two seeds."""
    tasks = tuple(
        UserTask(name=f"own-{kind}", type=kind, train=train, validation=validation, epochs=epochs)
        for kind, epochs in (("classification", 0.1), ("tagging", 0.2))
        for train, validation in [task_files[kind]]
    )
    config = FinetuneConfig(tasks=tasks, seeds=(0, 1), baselines=(), keep_models="none")
    return plan(config, published, StageContext(str(tmp_path / "runs"), "test"))


@pytest.fixture
def config(tmp_path):
    corpus = {"sources": [{"type": "files", "urls": ["a.txt"]}]}
    values = {"name": "test", "root": str(tmp_path / "runs"), "corpus": corpus}
    return PipelineConfig.model_validate({**values, "scale": {"precision": "float32"}})


def test_an_interrupted_evaluation_runs_only_the_missing_trials(trials, config, monkeypatch):
    ran, run_trial = [], finetune.run_trial

    def run(trial, **options):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(trial.label)
        return run_trial(trial, **options)

    monkeypatch.setattr(finetune, "run_trial", run)
    with pytest.raises(KeyboardInterrupt):
        list(evaluate.run_trials(config, trials, config.context()))
    before = list(ran)
    ran.clear()
    outcomes = list(evaluate.run_trials(config, trials, config.context()))
    assert sorted(before + ran) == sorted(trial.label for trial in trials) and len(ran) == 2
    found = {outcome.index: outcome.value for outcome in outcomes}
    for index, trial in enumerate(trials):
        assert found[index].config["task"] == trial.task.name
        assert found[index].config["seed"] == trial.seed


def test_trials_are_below_the_root_in_any_spelling(published, task_files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    train, validation = task_files["classification"]
    task = UserTask(name="own", type="classification", train=train, validation=validation)
    config = FinetuneConfig(tasks=(task,), seeds=(0,), baselines=())
    for root in ("x::y", f"file:{tmp_path}/x::y", "file:x::y", f"file://localhost{tmp_path}/x::y"):
        (trial,) = plan(config, published, StageContext(root, "test"))
        assert trial.root == f"{tmp_path}/x::y"


def test_each_trial_reports_its_progress(trials, config):
    heard = []
    list(evaluate.run_trials(config, trials[:2], config.context(progress=heard.append)))
    for trial in trials[:2]:
        told = [each for each in heard if each.item == trial.full_label]
        steps = [each for each in told if each.unit == "steps"]
        assert steps[-1].done == steps[-1].total
        assert all(isinstance(each.metrics["loss"], float) for each in steps)
        scored = told[len(steps) :]  # a batch after the other, and nothing trains any more
        assert {(each.unit, each.metrics["step"]) for each in scored} == {
            ("inputs", "scoring validation")
        }
        done = [each.done for each in scored]
        assert len(done) > 1 and done == sorted(set(done)) and done[-1] == scored[-1].total
    assert [each.done for each in heard if not each.item] == [1, 2]


def test_children_run_after_their_parents_and_are_skipped_if_those_fail(
    trials, config, monkeypatch, caplog
):
    first, second = (replace(trial, keep_model=True) for trial in trials[:2])
    third, fourth = trials[2:]
    children = [replace(third, parent=first), replace(fourth, parent=second)]
    given = [*children, first, second]
    ran, run_trial = [], finetune.run_trial

    def run(trial, **options):
        if trial == second:
            raise ValueError("the loss is nan")
        ran.append(trial)
        return run_trial(trial, **options)

    monkeypatch.setattr(finetune, "run_trial", run)
    with caplog.at_level(logging.INFO):
        outcomes = list(evaluate.run_trials(config, given, config.context()))
    assert ran == [first, children[0]]
    errors = {outcome.index: str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors == {
        3: "the loss is nan",
        1: "skipped: its parent failed (the loss is nan)",
    }
    (line,) = [each.getMessage() for each in caplog.records if "utilization" in each.getMessage()]
    assert line.startswith("finetune: 2 trials in ") and ", 1 at a time, utilization " in line
    (line,) = [each.getMessage() for each in caplog.records if "products" in each.getMessage()]
    assert line == "finetune: matrix products in float32"


def test_utilization_is_busy_time_over_slots_times_wall_time(trials, config):
    @dataclass(frozen=True)
    class Slots(LocalExecutor):
        num_slots: int = 4

        def slots(self, resources: Any) -> int:
            return self.num_slots

    @dataclass
    class Made:
        observed: dict[str, float]

    made = [
        (trial, Made({"seconds": seconds}))
        for trial, seconds in zip(trials, (6, 3, 3), strict=False)
    ]
    assert evaluate.log_utilization(config, made, Slots(), 5.0) == pytest.approx(12 / (4 * 5))


def test_ray_is_started_if_it_saves_time(trials, config, monkeypatch):
    monkeypatch.setattr(evaluate, "cpus_of_this_process", lambda: 2)
    start = evaluate.RAY_START_OPERATIONS

    def gains(*operations, cpus_per_trial=1):
        some = [
            replace(trial, estimate=replace(trial.estimate, operations=each))
            for trial, each in zip(trials, operations, strict=False)
        ]
        scale = config.scale.model_copy(update={"cpus_per_trial": cpus_per_trial})
        return evaluate.gains_from_ray(config.model_copy(update={"scale": scale}), some)

    assert gains(2 * start, 2 * start)
    assert not gains(0.4 * start, 0.4 * start)  # over before Ray is there
    assert not gains(9 * start)  # nothing to run beside it
    assert not gains(9 * start, 0.1 * start)  # the long one is waited for in any case
    if not torch.cuda.is_available():
        assert not gains(2 * start, 2 * start, cpus_per_trial=2)
    finetune.run_trial(trials[0])
    assert not gains(9 * start, 0.5 * start, 0.4 * start)  # the first one has run


def test_the_order_is_by_the_longest_chain_and_keeps_every_trial(trials):
    rng = random.Random(0)
    for _ in range(20):
        many = []
        for seed in range(8):
            estimate = replace(trials[0].estimate, operations=rng.randrange(1, 9))
            parent = rng.choice(many) if many and rng.random() < 0.4 else None
            many.append(replace(trials[0], seed=seed, estimate=estimate, parent=parent))

        def chain(trial, many=many):  # the plain definition
            below = [chain(each) for each in many if each.parent == trial]
            return trial.estimate.operations + max(below, default=0)

        mixed = rng.sample(many, len(many))
        ordered = longest_first(mixed)
        assert sorted(each.seed for each in ordered) == list(range(8))
        assert [chain(trial) for trial in ordered] == sorted(map(chain, many), reverse=True)
        for child, parent in parents(ordered).items():
            assert ordered[child].parent == ordered[parent] and parent < child


def test_costs_grow_with_text_epochs_length_and_model(trials):
    values = trials[0].hyperparameters
    small, base = (
        EncoderShape.of(ElectraConfig(hidden_size=width, num_hidden_layers=2)) for width in (64, 96)
    )
    estimate = small.estimate(["x" * 400] * 10, values)
    assert small.estimate(["x" * 400] * 20, values).operations == 2 * estimate.operations
    twice = values.model_copy(update={"epochs": 2 * values.epochs})
    assert small.estimate(["x" * 400] * 10, twice).operations == 2 * estimate.operations
    assert base.estimate(["x" * 400] * 10, values).operations > estimate.operations
    assert base.estimate(["x"], values).memory_bytes > small.estimate(["x"], values).memory_bytes
    longer = values.model_copy(update={"max_length": 2 * values.max_length})
    assert small.estimate(["x"], longer).memory_bytes > 2 * estimate.memory_bytes - 16 * 10**7


@pytest.mark.parametrize("architecture", [ElectraConfig(), BertConfig(num_hidden_layers=2)])
def test_the_shape_is_that_of_the_real_model(architecture):
    shape = EncoderShape.of(architecture)
    model = AutoModelForSequenceClassification.from_config(architecture)
    encoder = getattr(model, model.base_model_prefix)
    total = sum(weights.numel() for weights in encoder.parameters())
    tables = sum(w.numel() for name, w in encoder.named_parameters() if "_embeddings." in name)
    assert shape.num_matrix_parameters == shape.num_parameters - tables
    assert abs(shape.num_parameters - total) <= architecture.hidden_size * (
        architecture.hidden_size + 1
    )  # a pooler that the head leaves out


def test_trials_that_differ_in_the_seed_tokenize_once(trials, monkeypatch):
    encoded, encode = [], Classification.encode

    def count(self, tokenizer, examples, max_length, *, training):
        encoded.append(training)
        return encode(self, tokenizer, examples, max_length, training=training)

    monkeypatch.setattr(Classification, "encode", count)
    cache._cached.clear()
    first, second = (trial for trial in trials if trial.task.type == "classification")
    alone = finetune.run_trial(replace(second, root=f"{second.root}-alone"))
    cache._cached.clear()
    encoded.clear()
    finetune.run_trial(first)
    assert finetune.run_trial(second).manifest == alone.manifest
    assert encoded.count(True) == 1 and encoded.count(False) == 2
    shorter = first.hyperparameters.model_copy(update={"max_length": 16})
    finetune.run_trial(replace(first, hyperparameters=shorter))
    assert encoded.count(True) == 2


def test_a_trial_does_not_log_again_what_its_plan_did(published, task_files, tmp_path, caplog):
    train, validation = task_files["classification"]
    task = UserTask(
        name="own", type="classification", train=train, validation=validation, epochs=0.1
    )
    config = FinetuneConfig(tasks=(task,), baselines=(), keep_models="none")
    with caplog.at_level(logging.INFO):
        trial = plan(config, published, StageContext(str(tmp_path / "runs"), "test"))[0]
        finetune.run_trial(trial)
    assert [each for each in caplog.messages if each.startswith("own: 200 train")]
    assert caplog.text.count("own: 200 train") == 1
