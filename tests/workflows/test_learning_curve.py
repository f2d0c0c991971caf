"""The history of a model: each checkpoint scored like the last step, once, and drawn."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from electra_pipeline import stages
from electra_pipeline.cli import app as cli
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.core.progress import silent
from electra_pipeline.finetuning import run as finetuning
from electra_pipeline.results import learning_curves as curves
from electra_pipeline.results import store
from electra_pipeline.storage.artifact import find_artifacts
from electra_pipeline.workflows import learning_curve, report

WORDS = ("baker", "doctor", "sailor", "paints", "repairs", "boat", "garden", "river", "station")


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(6)) + "."


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, and a task that a word decides."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = random.Random(0)
    with (folder / "documents.jsonl").open("w") as file:
        for number in range(60):
            text = f"Letter {number}. " + " ".join(sentence(rng) for _ in range(5))
            file.write(json.dumps({"text": text}) + "\n")
    with (folder / "train.tsv").open("w") as file:
        file.write("text\tlabel\n")
        for _ in range(24):
            text = sentence(rng)
            file.write(f"{text}\t{'wet' if 'river' in text else 'dry'}\n")
    return folder


def settings(inputs: Path, root: Path) -> dict[str, Any]:
    """A configuration as a user writes it: 6 steps, of which 2 and 4 are kept."""
    task = {"name": "place", "type": "classification", "train": str(inputs / "train.tsv")}
    source = {"type": "files", "urls": [str(inputs / "documents.jsonl")]}
    return {
        "name": "tiny",
        "root": str(root),
        "corpus": {"sources": [source], "held_out_fraction": 0.1},
        "tokenizer": {"vocab_size": 90},
        "sequences": {"length": 32},
        "pretrain": {
            "size": "tiny",
            "model": {"hidden_size": 32, "embedding_size": 16, "num_layers": 1, "num_heads": 2},
            "steps": 6,
            "batch_sequences": 8,
            "warmup_steps": 1,
            "held_out_sequences": 8,
        },
        "finetune": {
            "tasks": [{**task, "epochs": 1, "validation_fraction": 0.5}],
            "seeds": [0, 1],
            "baselines": ["random"],
            "max_length": 32,
        },
        "scale": {"keep_every_steps": 2, "tensorboard": False},
    }


@pytest.fixture(scope="module")
def trained(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with that pre-training."""
    root = tmp_path_factory.mktemp("trained") / "runs"
    pretrain(PipelineConfig.model_validate(settings(inputs, root)))
    return root


@pytest.fixture
def given(inputs: Path, trained: Path, tmp_path: Path) -> dict[str, Any]:
    """The configuration with a copy of that root, for one test alone."""
    shutil.copytree(trained, tmp_path / "runs")
    return settings(inputs, tmp_path / "runs")


def pretrain(config: PipelineConfig) -> None:
    executor = LocalExecutor(1)
    corpus = stages.build_corpus(config, executor, silent)
    tokenizer = stages.train_tokenizer(config, corpus, silent)
    sequences = stages.build_sequences(config, corpus, tokenizer, executor, silent)
    stages.pretrain(config, tokenizer, sequences, executor, silent)


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["electra-pipeline", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def manifests(root: str) -> dict[str, bytes]:
    found = find_artifacts(root)
    return {str(each.folder): each.folder.read_bytes("manifest.json") for each in found}


def test_one_command_scores_every_checkpoint_once(
    given: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given))
    arguments = ["history", "--config", str(tmp_path / "tiny.yaml")]
    code, _, err = command(monkeypatch, capsys, *arguments, "--root", str(tmp_path / "empty"))
    assert code == 2 and "pre-train it first, with scale.keep_every_steps" in err
    code, out, err = command(monkeypatch, capsys, *arguments)
    assert code == 0, err
    header, *_ = out.splitlines()
    assert header.split() == ["task", "metric", "split", "step", "2", "step", "4", "step", "6"]
    root = given["root"]
    rows = store.read(f"sqlite:///{root}/results.db")
    trials = {(r["run"], r["model"], r["seed"]) for r in rows if r["task"] == "place"}
    of_steps = {
        (f"tiny@{n}", model, s)
        for n in (2, 4)
        for model in ("pretrained", "majority")
        for s in (0, 1)
    }
    last = {("tiny", model, s) for model in ("pretrained", "random", "majority") for s in (0, 1)}
    assert trials == of_steps | last
    assert {r["run"] for r in rows if r["task"] == "pretraining"} == {"tiny@2", "tiny@4", "tiny"}
    page = Path(root, "tiny-report.html").read_text()
    assert "place accuracy, validation" in page and "pre-training step" in page

    before = manifests(root)
    code, again, _ = command(monkeypatch, capsys, *arguments)
    assert (code, again) == (0, out)
    assert manifests(root) == before

    # the report of the run has the history too; the newest model is not one of the checkpoints'
    code, _, err = command(
        monkeypatch, capsys, "report", "--root", root, "--output", str(tmp_path / "r.html")
    )
    assert code == 0, err
    assert "place accuracy, validation" in (tmp_path / "r.html").read_text()
    assert "<title>tiny: " in (tmp_path / "r.html").read_text()


def test_only_what_is_missing_is_done_and_a_lost_trial_leaves_the_rest(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PipelineConfig.model_validate(given)
    real = finetuning.run_trial
    called = []

    def fails_at_4(trial: Any, **options: Any) -> Any:
        called.append((trial.run, trial.init, trial.seed))
        if trial.run == "tiny@4" and trial.seed == 1:
            raise OSError("the machine is gone")
        return real(trial, **options)

    monkeypatch.setattr(finetuning, "run_trial", fails_at_4)
    found = learning_curve.run(config, LocalExecutor(1), silent)
    assert found.lost == ["trial tiny@4, place, pretrained, seed 1: the machine is gone"]
    assert found.num_trials == 8 and len(called) == 8
    monkeypatch.setattr(
        finetuning,
        "run_trial",
        lambda trial, **options: called.append(trial) or real(trial, **options),
    )
    again = learning_curve.run(config, LocalExecutor(1), silent)
    assert again.lost == [] and len(called) == 9
    (curve,) = [
        each
        for each in curves.learning_curves(again.rows, again.steps)
        if each.metric == "accuracy"
    ]
    assert [point.step for point in curve.points] == [2, 4, 6]
    assert set(curve.baselines) == {"random", "majority"}
    for point in curve.points:
        name = "tiny" if point.step == 6 else f"tiny@{point.step}"
        values = [
            row["value"]
            for row in again.rows
            if (row["run"], row["model"], row["metric"]) == (name, "pretrained", "accuracy")
        ]
        assert (point.low, point.high) == (min(values), max(values))
        assert point.median == pytest.approx(sum(values) / 2)


def test_finished_trials_are_recorded_by_the_next_run_if_the_database_is_lost(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given["finetune"] |= {"seeds": [0], "baselines": []}
    config = PipelineConfig.model_validate(given)
    database = Path(given["root"], "results.db")
    real = finetuning.run_trial
    called = []

    def loses_the_database(trial: Any, **options: Any) -> Any:
        called.append(trial)
        if len(called) == 3:
            database.unlink()
            database.mkdir()
        return real(trial, **options)

    monkeypatch.setattr(finetuning, "run_trial", loses_the_database)
    monkeypatch.setattr(stages, "RECORD_DELAYS_SECONDS", ())
    with pytest.raises(
        ValueError, match=r"results\.db: .*; what is finished is kept, run it again"
    ):
        learning_curve.run(config, LocalExecutor(1), silent)
    database.rmdir()
    found = learning_curve.run(config, LocalExecutor(1), silent)
    assert len(called) == 3
    rows = store.read(config.database_url)
    assert {row["run"] for row in rows if row["task"] == "place"} == {"tiny@2", "tiny@4", "tiny"}
    assert len(rows) == len(found.rows)


def test_models_of_another_pretraining_are_no_part_of_the_history(given: dict[str, Any]) -> None:
    given["finetune"] |= {"seeds": [0], "baselines": []}
    config = PipelineConfig.model_validate(given)
    found = learning_curve.run(config, LocalExecutor(1), silent)
    given["pretrain"]["seed"] = 1
    other = PipelineConfig.model_validate(given)
    pretrain(other)
    again = learning_curve.run(other, LocalExecutor(1), silent)
    assert set(found.steps).isdisjoint(again.steps)
    assert report.checkpoints_of(config.root, found.newest) == found.steps
    assert report.checkpoints_of(config.root, again.newest) == again.steps


def test_without_kept_checkpoints_there_is_no_history(given: dict[str, Any]) -> None:
    shutil.rmtree(Path(given["root"], "checkpoints"))
    config = PipelineConfig.model_validate(given)
    with pytest.raises(ValueError, match=r"no checkpoint was kept; scale\.keep_every_steps"):
        learning_curve.run(config, LocalExecutor(1), silent)
