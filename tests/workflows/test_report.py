"""The run of a report, the artifacts behind its model, and links between its pages."""

import sys
from pathlib import Path
from typing import Any

import pytest

from electra_pipeline.cli import app as cli
from electra_pipeline.results import store
from electra_pipeline.results.database import default_database
from electra_pipeline.storage.artifact import Artifact, Written, produce
from electra_pipeline.workflows import report as reporting


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "runs [v2] #1?")


def artifact(root: str, stage: str, name: str, **inputs: str) -> Artifact:
    identity: dict[str, Any] = {"root": root, "stage": stage, "name": name, "format_version": 1}
    counters = {"steps": 1}
    return produce(**identity, config={}, inputs=inputs, write=lambda _: Written(counters, {}))


def record(root: str, run: str, fingerprint: str, day: int, value: float = 0.5) -> None:
    row = {"run": run, "model": "pretrained", "fingerprint": fingerprint, "task": "cola"}
    row |= {"metric": "mcc", "split": "validation", "seed": 0, "value": value, "examples": 10}
    row |= {"seconds": 1.0, "trial": "", "created_at": f"2026-01-0{day}T00:00:00+00:00"}
    store.record(default_database(root), [row])


def find(root: str, run: str | None = None) -> reporting.Subject:
    return reporting.find_subject(root, default_database(root), run)


def test_an_evaluated_model_need_not_be_published_here(root: str) -> None:
    record(root, "bert", "a" * 12, day=1)
    record(root, "roberta", "b" * 12, day=2)
    assert (find(root, "bert").run, find(root, "bert").model) == ("bert", None)
    assert [row["fingerprint"] for row in find(root, "bert").rows] == ["a" * 12]
    assert find(root).run == "roberta"


def test_of_two_models_of_one_name_the_newest_is_chosen(root: str) -> None:
    record(root, "model", "a" * 12, day=2)
    record(root, "model", "b" * 12, day=1)
    assert [row["fingerprint"] for row in find(root, "model").rows] == ["a" * 12]


def test_a_published_model_that_was_evaluated_under_another_name(root: str) -> None:
    model = artifact(root, "publish", "mine")
    record(root, "again", model.fingerprint, day=1)
    assert find(root, "again") == reporting.Subject("again", model, find(root, "again").rows)
    assert find(root) == reporting.Subject("mine", model, [])


def test_a_missing_run_is_refused(root: str) -> None:
    record(root, "bert", "a" * 12, day=1)
    with pytest.raises(ValueError, match="no published model of the run x, and no results"):
        find(root, "x")


def test_the_report_of_an_evaluation(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(root, "bert", "a" * 12, day=1, value=0.4321)
    page = tmp_path / "my page #1?.html"
    arguments = ["report", "--root", root, "--run", "bert", "--output", str(page)]
    monkeypatch.setattr(sys, "argv", ["electra-pipeline", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert (left.value.code or 0, capsys.readouterr().out) == (0, f"{page}\n")
    assert "43.2" in page.read_text("utf-8") or "0.432" in page.read_text("utf-8")


def test_pages_with_odd_names_link_to_each_other(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(root, "bert", "a" * 12, day=1)
    monkeypatch.setattr(reporting.errors, "find", lambda trials: ["found"])
    monkeypatch.setattr(reporting.errors, "render", lambda found, run_name, report: report)
    subject = find(root)
    pages = reporting.render(root, default_database(root), subject, "a #?.html")
    assert list(pages) == ["a #?.html", "a #?-errors.html"]
    assert 'href="a%20%23%3F-errors.html"' in pages["a #?.html"]
    assert pages["a #?-errors.html"] == "a%20%23%3F.html"


def test_a_model_is_traced_to_what_it_was_made_from(tmp_path: Path) -> None:
    corpus = artifact(str(tmp_path), "corpus", "test", source="abc")
    artifact(str(tmp_path), "corpus", "test", source="another")
    tokenizer = artifact(str(tmp_path), "tokenizer", "test", corpus=corpus.fingerprint)
    sequences = artifact(str(tmp_path), "sequences", "test", corpus=corpus.fingerprint)
    inputs = {"tokenizer": tokenizer.fingerprint, "sequences": sequences.fingerprint}
    pretrained = artifact(str(tmp_path), "pretrain", "test", **inputs)
    model = artifact(
        str(tmp_path),
        "publish",
        "test",
        pretrained=pretrained.fingerprint,
        tokenizer=tokenizer.fingerprint,
        corpus=corpus.fingerprint,
    )
    assert reporting.trace(str(tmp_path), model) == {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "sequences": sequences,
        "pretrain": pretrained,
        "publish": model,
    }
