"""Baselines, two rounds, grids, degenerate seeds, recipes, and the evaluate command."""

import shutil
import statistics

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel, BertConfig, BertModel

from electra_pipeline.cli import app as cli
from electra_pipeline.config import PipelineConfig, load, name_of, to_yaml
from electra_pipeline.core.execution import StageContext
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.plan import plan, resolve
from electra_pipeline.finetuning.recipes import RECIPES
from electra_pipeline.finetuning.rows import reported_rows
from electra_pipeline.finetuning.scoring import is_degenerate
from electra_pipeline.results import store
from electra_pipeline.tasks.catalog.user_task import TASKS, UserTask
from electra_pipeline.workflows import evaluate
from electra_pipeline.workflows.record import record_trials


@pytest.fixture(scope="module")
def bert(published, tokenizer, tmp_path_factory):
    """A tiny BERT of another width than the model under test, as a Hugging Face directory."""
    directory = tmp_path_factory.mktemp("models") / "tiny-bert"
    torch.manual_seed(99)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def make_config(task_files, root, num_tasks=2, **overrides):
    train, validation = task_files["classification"]
    tasks = [
        UserTask(
            name=name,
            type="classification",
            train=train,
            validation=validation,
            metrics=("accuracy",),
            epochs=0.1,
        )
        for name in ("first", "second")[:num_tasks]
    ]
    finetune = FinetuneConfig(**{"tasks": tasks, "seeds": (0, 1), "baselines": (), **overrides})
    return PipelineConfig(
        name="test", root=str(root), database=f"sqlite:///{root}/r.db", finetune=finetune
    )


def run(config, model):
    """Trials and their outcomes, in the order of the trials."""
    trials = evaluate.plan_trials(config, model)
    outcomes = list(evaluate.run_trials(config, trials, config.context()))
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(trials)))
    return trials, sorted(outcomes, key=lambda outcome: outcome.index)


@pytest.mark.parametrize("model", ["artifact", "directory"])
def test_baselines_can_be_any_model(published, bert, task_files, tmp_path, model):
    tested, other = (published, bert) if model == "artifact" else (bert, str(published.folder))
    config = make_config(task_files, tmp_path, seeds=(0,), baselines=("random", other))
    trials, outcomes = run(config, tested)
    assert [outcome.error for outcome in outcomes] == [None] * 6
    rows, _ = record_trials(config, [outcome.value for outcome in outcomes])
    assert {row["model"] for row in rows} == {"pretrained", "random", "majority", other}
    assert len({row["fingerprint"] for row in rows}) == 1
    assert {trial.hyperparameters.max_length for trial in trials if trial.init == other} == {
        64 if model == "directory" else 32  # of each model's own positions
    }


def test_second_round_starts_from_the_first_of_its_seed_and_init(published, task_files, tmp_path):
    config = make_config(
        task_files,
        tmp_path,
        baselines=("random",),
        intermediate={"second": "first"},
        learning_rate=1e-12,  # what is saved is then what training started from
        keep_models="all",
    )
    trials, outcomes = run(config, published)
    assert all(outcome.error is None for outcome in outcomes)
    by_key = {
        (trial.task.name, trial.init, trial.seed): index for index, trial in enumerate(trials)
    }
    for start in ("pretrained", "random"):
        for seed in (0, 1):
            index = by_key["second", start, seed]
            parent = by_key["first", start, seed]
            assert trials[index].parent == trials[parent]
            kept = [
                AutoModel.from_pretrained(outcomes[i].value.local_folder("model")).state_dict()
                for i in (index, parent)
            ]
            for name, weights in kept[0].items():
                torch.testing.assert_close(weights, kept[1][name], msg=name)
            assert outcomes[index].value.inputs["parent"] == outcomes[parent].value.fingerprint
            assert "after first" in outcomes[index].value.counters["note"]
    _, again = run(config, published)  # found, not run
    assert [o.value.manifest for o in again] == [o.value.manifest for o in outcomes]


def test_first_round_runs_without_being_listed_and_keeps_its_models(
    published, task_files, tmp_path
):
    (tmp_path / "MNLI").mkdir()
    header = "index\tsentence1\tsentence2\tgold_label\n"
    labels = ("entailment", "neutral", "contradiction")
    lines = "".join(f"{i}\tdog {i}\tcat\t{labels[i % 3]}\n" for i in range(12))
    held_out = "".join(f"{i}\tbird {i}\tcat\t{labels[i % 3]}\n" for i in range(6))
    (tmp_path / "MNLI" / "train.tsv").write_text(header + lines)
    for name in ("dev_matched", "dev_mismatched"):
        (tmp_path / "MNLI" / f"{name}.tsv").write_text(header + held_out)
    config = make_config(
        task_files,
        tmp_path,
        data=str(tmp_path),
        seeds=(0,),
        intermediate={"second": "mnli", "rte": "mnli"},
        keep_models="none",
        epochs=0.1,
    )
    trials = evaluate.plan_trials(config, published)
    assert {(trial.task.name, trial.keep_model) for trial in trials} == {
        ("first", False),
        ("second", False),
        ("mnli", True),
    }


def test_second_round_without_its_parent_fails_alone(published, task_files, tmp_path):
    config = make_config(task_files, tmp_path, seeds=(0,), intermediate={"second": "first"})
    trials = [
        trial for trial in evaluate.plan_trials(config, published) if trial.parent is not None
    ]
    (outcome,) = evaluate.run_trials(config, trials, config.context())
    assert "its parent trial (first, pretrained, seed 0) has no artifact" in str(outcome.error)


def test_grid_keeps_every_point_and_reports_the_best_on_validation(published, task_files, tmp_path):
    grid = {"learning_rate": (1e-12, 3e-3), "epochs": (0.1, 1)}
    config = make_config(task_files, tmp_path, num_tasks=1, grid=grid, layer_decay=1.0)
    trials, outcomes = run(config, published)
    finished = [outcome.value for outcome in outcomes]
    assert (
        len({trial.label for trial in trials})
        == len({trial.fingerprint for trial in finished})
        == 8
    )
    scores = {}
    for trial, artifact in zip(trials, finished, strict=True):
        value = artifact.counters["metrics"]["validation"]["accuracy"]
        scores.setdefault(tuple(trial.grid_point.items()), []).append(value)
    points = {
        artifact.fingerprint: dict(trial.grid_point)
        for trial, artifact in zip(trials, finished, strict=True)
    }
    for by, judge in (("median", statistics.median), ("best", max)):
        chosen = config.finetune.model_copy(update={"choose": by})
        rows = [row for row in reported_rows(chosen, finished) if row["model"] == "pretrained"]
        best = max(judge(values) for values in scores.values())
        assert len(rows) == 2 and judge([row["value"] for row in rows]) == best
        for row in rows:
            told = row["note"].split(f"best of 4 by {by} accuracy on validation: ")[1]
            named = (part.split("=") for part in told.split(", "))
            assert {name: float(value) for name, value in named} == points[row["trial"]]


def test_grid_point_with_a_failed_seed_is_not_selected(published, task_files, tmp_path):
    grid = {"learning_rate": (1e-12, 1e-11)}
    config = make_config(task_files, tmp_path, num_tasks=1, grid=grid)
    trials, outcomes = run(config, published)
    whole = [
        o.value
        for trial, o in zip(trials, outcomes, strict=True)
        if trial.grid_point != trials[0].grid_point
    ]
    rows = reported_rows(config.finetune, [outcomes[0].value, *whole])
    assert {row["trial"] for row in rows} == {artifact.fingerprint for artifact in whole}


@pytest.mark.parametrize("stays", [{"learning_rate": 1e-12}, {"adam_epsilon": 1e12}])
def test_degenerate_seeds_are_counted_and_noted(published, task_files, tmp_path, stays):
    config = make_config(task_files, tmp_path, num_tasks=1, seeds=(0,), **stays)
    _, (first,) = run(config, published)
    assert first.value.counters["degenerate"] is True
    notes = {row["model"]: row["note"] for row in reported_rows(config.finetune, [first.value])}
    assert notes == {"pretrained": "degenerate", "majority": None}


@pytest.mark.parametrize(
    ("predictions", "score", "majority", "expected"),
    [
        (["a", "b", "a"], 0.7, 0.6, False),
        (["a", "b", "a"], 0.6, 0.6, True),
        (["a", "b", "a"], float("nan"), 0.6, True),
        (["a", "a", "a"], 0.7, 0.6, True),  # constant, and lucky
        (["a"], 1.0, 0.0, False),
    ],
)
def test_is_degenerate(predictions, score, majority, expected):
    scores, guess = {"matthews": score, "accuracy": 0.0}, {"matthews": majority, "accuracy": 1.0}
    assert is_degenerate(predictions, scores, guess) is expected


# reference: Clark et al. 2020, table 7; google-research/electra configure_finetuning.py:54-56,
# 150-151 and issue 51. In turn: learning rate, layer decay, weight decay, extra exponent
@pytest.mark.parametrize(
    ("recipe", "size", "expected"),
    [
        ("paper", "small", (3e-4, 0.8, 0.0, 0)),
        ("paper", "base", (1e-4, 0.8, 0.0, 0)),
        ("paper", "large", (5e-5, 0.9, 0.0, 0)),
        ("google", "small", (1e-4, 0.8, 0.01, 1)),
        ("google", "base", (1e-4, 0.8, 0.01, 1)),
        ("google", "large", (5e-5, 0.9, 0.01, 1)),
    ],
)
def test_recipes_give_the_published_values_by_model_size(recipe, size, expected):
    width = {"small": 256, "base": 768, "large": 1024}[size]
    architecture = BertConfig(hidden_size=width, num_attention_heads=4, num_hidden_layers=1)
    config = FinetuneConfig(tasks=("rte",), recipe=recipe)
    found = resolve(config, TASKS["rte"], architecture)
    assert (
        found.learning_rate,
        found.layer_decay,
        found.weight_decay,
        found.layer_extra_exponent,
    ) == expected
    assert (found.epochs, found.batch_examples, found.warmup_fraction) == (10, 32, 0.1)
    assert (found.adam_beta1, found.adam_beta2, found.adam_epsilon) == (0.9, 0.999, 1e-6)
    assert (found.schedule, found.max_gradient_norm) == ("linear", 1.0)
    changed = dict.fromkeys(("learning_rate", "layer_decay", "weight_decay"), 0.5)
    changed |= {"layer_extra_exponent": 3, "loss_reduction": "mean", "adam_bias_correction": True}
    assert set(changed) == set(RECIPES[recipe][size])  # each can be set apart from the recipe
    own = resolve(config.model_copy(update=changed), TASKS["rte"], architecture)
    assert {key: getattr(own, key) for key in changed} == changed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"intermediate": {"rte": "mnly"}}, "unknown task 'mnly'"),
        ({"intermediate": {"rte": "mnli", "mnli": "qqp"}}, "only two rounds"),
        ({"grid": {"learning_rate": ()}}, "grid.learning_rate: expected at least one value"),
        ({"grid": {"learning_rate": (1e-4, -1)}}, "grid.learning_rate: -1: .* greater than 0"),
        ({"grid": {"epochs": (1, 1)}}, "grid.epochs: 1 is listed twice"),
        ({"grid": {"seeds": (1, 2)}}, "grid"),
        ({"baselines": ("majority",)}, "invalid baseline.* got 'majority'"),
        ({"baselines": ("random", "random")}, "'random' is listed twice"),
    ],
)
def test_invalid_configurations_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        FinetuneConfig(tasks=("rte",), **values)


def command(monkeypatch, *arguments):
    """Exit code of the command line in this process."""
    monkeypatch.setattr("sys.argv", ["electra-pipeline", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_evaluate_command_runs_on_an_existing_model(
    bert, published, task_files, tmp_path, monkeypatch, capsys
):
    config = make_config(task_files, tmp_path, num_tasks=1, seeds=(0,), baselines=("random",))
    file = tmp_path / "tasks.yaml"
    file.write_text(to_yaml(config))
    database = f"sqlite:///{tmp_path}/other.db"
    given = ("--config", str(file), "--database", database, "--root", str(tmp_path / "there"))
    assert command(monkeypatch, "evaluate", bert, *given) == 0
    told = capsys.readouterr()
    assert "first" in told.out and "results  sqlite" in told.out
    assert {(row["run"], row["model"]) for row in store.read(database)} == {
        ("tiny-bert", model) for model in ("pretrained", "random", "majority")
    }
    assert (tmp_path / "there" / "tiny-bert-report.html").is_file()
    trials = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json"))
    assert command(monkeypatch, "evaluate", bert, *given) == 0  # finds all of it there
    assert trials == sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json"))
    ours = str(published.folder)
    assert command(monkeypatch, "evaluate", ours, *given, "--set", "finetune.baselines=[]") == 0
    assert command(monkeypatch, "evaluate", ours, *given, "--set", "name=mine") == 0
    assert {row["run"] for row in store.read(database)} == {"tiny-bert", published.name, "mine"}


def test_errors_of_the_commands_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "evaluate", "./absent") == 2
    assert "./absent: no such directory" in capsys.readouterr().err
    assert command(monkeypatch, "corpus", "--preset", "glue") == 2
    assert "corpus: missing; name its sources" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("google-bert/bert-base-uncased", "bert-base-uncased"),
        ("s3://bucket/models/ours/", "ours"),
        ("./some/odd name", "odd-name"),
        ("/", "model"),
        ("./" + "x" * 300, "x" * 100),
    ],
)
def test_a_run_is_named_after_its_model(model, name):
    assert name_of(model) == name


def test_glue_preset_has_the_papers_values():
    config = load(preset="glue").finetune
    assert config.tasks == ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
    assert (config.recipe, config.seeds, config.intermediate) == ("paper", tuple(range(10)), {})
    assert (config.baselines, config.grid) == (("random",), {})


def test_missing_baseline_is_refused_before_any_trial(published, task_files, tmp_path):
    config = make_config(task_files, tmp_path, baselines=("./nowhere",))
    with pytest.raises(ValueError, match=r"\./nowhere: no such directory"):
        plan(config.finetune, published, StageContext(str(tmp_path), "test"))


def test_mismatched_tokenizer_is_refused_before_any_trial(bert, task_files, tmp_path):
    shutil.copytree(bert, tmp_path / "mixed")
    BertConfig(vocab_size=9).save_pretrained(tmp_path / "mixed")
    config = make_config(task_files, tmp_path)
    with pytest.raises(ValueError, match=r"mixed: its tokenizer has \d+ tokens, .* embeds 9; put"):
        plan(config.finetune, str(tmp_path / "mixed"), StageContext(str(tmp_path), "test"))
