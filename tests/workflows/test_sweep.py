"""A sweep: shared stages run once, a failure affects only its own variants, each is a run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from electra_pipeline.cli import app as cli
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.core.progress import Update
from electra_pipeline.results import store
from electra_pipeline.storage.artifact import find_artifacts
from electra_pipeline.workflows import sweep
from electra_pipeline.workflows.variants import expand


@pytest.fixture
def tiny(tiny: dict[str, Any]) -> dict[str, Any]:
    """The tiny configuration with fewer steps and one fine-tuning."""
    tiny["name"] = "tiny"
    tiny["pretrain"] |= {"steps": 4, "warmup_steps": 1, "held_out_sequences": 8}
    tiny["finetune"] |= {"tasks": tiny["finetune"]["tasks"][:1], "seeds": [0]}
    return tiny


def stages(root: str) -> list[str]:
    return [artifact.stage for artifact in find_artifacts(root)]


def manifests(root: str) -> dict[str, bytes]:
    return {
        str(artifact.folder): artifact.folder.read_bytes("manifest.json")
        for artifact in find_artifacts(root)
    }


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["electra-pipeline", "sweep", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def test_one_command_over_ray_shares_what_is_common(
    ray_cluster: None,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    arguments = ["--config", str(tmp_path / "tiny.yaml")]
    arguments += ["--vary", "pretrain.learning_rate=1e-3,2e-3"]
    arguments += ["--vary", "finetune.learning_rate=1e-4,1e-3"]
    code, out, err = command(monkeypatch, capsys, *arguments)
    assert code == 0, err
    made = stages(tiny["root"])
    for stage, count in {
        "corpus": 1, "tokenizer": 1, "sequences": 1, "pretrain": 2, "publish": 4, "finetune": 4,
    }.items():  # fmt: skip
        assert made.count(stage) == count, stage

    rows = store.read(f"sqlite:///{tiny['root']}/results.db")
    runs = {row["run"] for row in rows}
    assert runs == {
        f"tiny-pretrain.learning_rate-{a}-finetune.learning_rate-{b}"
        for a in (0.001, 0.002)
        for b in (0.0001, 0.001)
    }
    lines = out.splitlines()
    assert len([line for line in lines if any(run in line for run in runs)]) == len(runs)
    auc = {row["value"] for row in rows if row["metric"] == "discriminator_auc"}
    assert len(auc) == 2  # two pre-trainings, four runs
    for value in auc:
        assert len([line for line in lines if f"{value:.4f}" in line]) == 2
    assert "place accuracy, validation" in out

    before = manifests(tiny["root"])
    code, again, _ = command(monkeypatch, capsys, *arguments)
    assert code == 0
    assert again == out
    assert manifests(tiny["root"]) == before


def test_a_failure_affects_only_its_own_variants(tiny: dict[str, Any]) -> None:
    """A vocabulary that the text cannot fill, and a length that the model does not take."""
    vary = ["tokenizer.vocab_size=100,50000", "finetune.max_length=32,400"]
    tiny["pretrain"]["model"]["max_positions"] = 64
    variants = expand(tiny, "tiny.yaml", vary)
    seen: list[Update] = []
    found = sweep.run(variants, variants[0].shared.context(LocalExecutor(1), seen.append))
    good, too_long, *too_large = found
    assert good.errors == []
    assert ["max_length is 400" in error for error in too_long.errors] == [True]
    for result in too_large:
        assert ["tokenizer.vocab_size is 50000" in error for error in result.errors] == [True]
        assert result.rows == []
    assert {row["task"] for row in good.rows} == {"pretraining", "place"}
    assert {row["task"] for row in too_long.rows} == {"pretraining"}
    recorded = store.read(f"sqlite:///{tiny['root']}/results.db")
    assert {row["run"] for row in recorded} == {good.variant.name, too_long.variant.name}
    assert [(update.done, update.total) for update in seen if update.unit == "models"] == [(1, 1)]

    header, lines = sweep.summary(found)
    assert header[:2] == ["tokenizer.vocab_size", "finetune.max_length"]
    assert [line[:2] for line in lines] == [
        ["100", "32"], ["100", "400"], ["50000", "32"], ["50000", "400"],
    ]  # fmt: skip
    assert all(len(line) == len(header) for line in lines)
    held_out = {row["metric"]: row["value"] for row in good.rows if row["task"] == "pretraining"}
    shown = dict(zip(header, lines[0], strict=True))
    assert shown["AUC"] == f"{held_out['discriminator_auc']:.4f}"
    above = held_out["discriminator_loss"] - held_out["prior_entropy"]
    assert shown["less prior entropy"] == f"{above:.4f}"
    assert set(lines[2][2:-1]) == {"-"}


def test_a_failed_trial_leaves_the_rest_of_its_variant(tiny: dict[str, Any], inputs: Path) -> None:
    class Failing(LocalExecutor):
        """Fails the trials of one seed."""

        def map(self, function, items, **options):  # type: ignore[no-untyped-def]
            for outcome in super().map(function, items, **options):
                trial = items[outcome.index]
                if getattr(trial, "seed", None) == 1:
                    outcome = type(outcome)(outcome.index, error=RuntimeError("worker died"))
                yield outcome

    tiny["finetune"]["seeds"] = [0, 1]
    variants = expand(tiny, "x", ["pretrain.seed=3"])
    (result,) = sweep.run(variants, variants[0].shared.context(Failing(1)))
    assert result.errors == ["trial place, pretrained, seed 1: worker died"]
    assert {(row["task"], row["seed"]) for row in result.rows} == {("pretraining", 3), ("place", 0)}


def test_everything_is_checked_before_any_work(tiny: dict[str, Any]) -> None:
    variants = expand(tiny, "tiny.yaml", ["sequences.length=32,600"])
    with pytest.raises(ValueError, match=r"^variant sequences\.length=600: sequences\.length is 6"):
        sweep.run(variants, variants[0].shared.context(LocalExecutor(1)))
    assert stages(tiny["root"]) == []


def test_one_failed_variant_ends_the_command_with_1_and_its_name(
    ray_cluster: None,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny["finetune"] = None
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    vary = ("--vary", "tokenizer.vocab_size=100,50000")
    code, out, err = command(monkeypatch, capsys, "--config", str(tmp_path / "tiny.yaml"), *vary)
    assert code == 1
    assert "tiny-vocab_size-100" in out
    last = err.strip().splitlines()[-1]
    assert "1 of 2 variants failed (tokenizer.vocab_size=50000)" in last
    assert "variant tokenizer.vocab_size=50000: tokenizer.vocab_size is 50000, but" in err
    assert "Traceback" not in err


def test_a_wrong_value_is_exit_code_2(
    tmp_path: Path,
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    code, _, err = command(
        monkeypatch, capsys, "--config", str(tmp_path / "tiny.yaml"), "--vary", "pretrain.steps=1,x"
    )
    assert code == 2
    assert err.startswith("error: ") and "pretrain.steps=x" in err
    assert stages(tiny["root"]) == []
