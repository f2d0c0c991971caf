"""Leaderboard files, from small trials that hold predictions alone."""

import zipfile

import orjson
import pytest

from electra_pipeline.results.predictions import writer
from electra_pipeline.results.submission import choose, write_submission
from electra_pipeline.storage.artifact import Written, produce


def trial(root, task, rows, *, seed=0, value=0.5, start="pretrained", model="m", metric="accuracy"):
    """A finished trial: `rows` are split, id, prediction and detail as Python values."""

    def write(draft):
        with writer(draft) as write_rows:
            write_rows(
                {
                    "split": split,
                    "id": identifier,
                    "input": "a text",
                    "expected": None,
                    "prediction": prediction,
                    "score": None,
                    "detail": detail,
                }
                for split, identifier, prediction, detail in rows
            )
        return Written({"run": "r", "metrics": {"validation": {metric: value}}}, {})

    return produce(
        root=str(root),
        stage="finetune",
        name=f"{task}-{seed}",
        format_version=1,
        config={"task": task, "start": start, "seed": seed, "metrics": [metric]},
        inputs={"model": model},
        write=write,
    )


def tables(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_glue_tables_are_as_the_server_takes_them(tmp_path):
    trials = [
        trial(tmp_path, "cola", [("validation", "0", "acceptable", None)]
            + [("test", str(i), p, None) for i, p in enumerate(("unacceptable", "acceptable"))]),
        trial(tmp_path, "stsb", [("test", "0", 5.3, None), ("test", "1", -0.2, None),
                               ("test", "2", 3.14159, None)]),
        trial(tmp_path, "rte", [("test", "0", "not_entailment", None)]),
        trial(tmp_path, "mnli", [("test_matched", "0", "neutral", None),
                               ("test_mismatched", "0", "entailment", None),
                               ("ax", "0", "contradiction", None)]),
        trial(tmp_path, "own", [("test", "0", "x", None)]),
    ]  # fmt: skip
    written = write_submission(trials, tmp_path / "out")
    assert written.files == (tmp_path / "out/glue.zip",)
    head = "index\tprediction\n"
    assert tables(written.files[0]) == {
        "CoLA.tsv": head + "0\t0\n1\t1\n",
        "STS-B.tsv": head + "0\t5.000\n1\t0.000\n2\t3.142\n",
        "RTE.tsv": head + "0\tnot_entailment\n",
        "MNLI-m.tsv": head + "0\tneutral\n",
        "MNLI-mm.tsv": head + "0\tentailment\n",
        "AX.tsv": head + "0\tcontradiction\n",
    }
    missing = {line.split()[0] for line in written.missing}
    assert missing == {"SST-2.tsv", "MRPC.tsv", "QQP.tsv", "QNLI.tsv", "WNLI.tsv"}
    before = written.files[0].read_bytes()
    assert write_submission(trials, tmp_path / "again").files[0].read_bytes() == before


def test_the_seed_that_is_best_on_validation_is_taken_and_said(tmp_path):
    rows = [("test", "0", "positive", None)]
    trials = [
        trial(tmp_path, "sst2", rows, seed=0, value=0.7),
        trial(tmp_path, "sst2", [("test", "0", "negative", None)], seed=1, value=0.9),
        trial(tmp_path, "sst2", rows, seed=2, value=0.9),
        trial(tmp_path, "sst2", rows, seed=3, value=1.0, start="random"),
    ]
    written = write_submission(trials, tmp_path / "out")
    assert tables(written.files[0])["SST-2.tsv"].splitlines()[1] == "0\t0"
    assert written.chosen == ("sst2: seed 1, the best on validation (accuracy 0.9000)",)


def test_trials_of_an_older_model_of_the_same_run_are_left_out(tmp_path):
    rows = [("test", "0", "positive", None)]
    trials = [trial(tmp_path, "sst2", rows, value=0.9, model=model) for model in ("old", "new")]
    later = {"old": "2026-01-01T00:00:00+00:00", "new": "2026-01-02T00:00:00+00:00"}
    for artifact in trials:
        moment = {**artifact.observed, "created_at": later[artifact.inputs["model"]]}
        artifact.folder.write_bytes("observed.json", orjson.dumps(moment))
    assert choose(trials)["sst2"].inputs["model"] == "new"


def test_squad_files_are_those_of_the_official_scripts(tmp_path):
    best = [{"text": "cat", "probability": 0.9, "start_logit": 2.0, "end_logit": 1.0}]
    rows = [
        ("validation", "q1", "cat", {"answer": "cat", "null_margin": -1.5, "best": best}),
        ("validation", "q2", "", {"answer": "dog", "null_margin": 0.5, "best": best}),
    ]
    without = [
        (split, key, text, {**detail, "null_margin": None}) for split, key, text, detail in rows
    ]
    trials = [trial(tmp_path, "squad_v2", rows, metric="f1"), trial(tmp_path, "squad", without)]
    written = write_submission(trials, tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")): orjson.loads(path.read_bytes())
        for path in written.files
    }
    assert found == {
        "squad_v2/predictions.json": {"q1": "cat", "q2": ""},
        "squad_v2/nbest_predictions.json": {"q1": best, "q2": best},
        "squad_v2/null_odds.json": {"q1": -1.5, "q2": 0.5},
        "squad/predictions.json": {"q1": "cat", "q2": ""},
        "squad/nbest_predictions.json": {"q1": best, "q2": best},
    }
    assert written.missing == ()


def test_a_run_without_such_predictions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no trial of the run has predictions for GLUE"):
        write_submission(
            [trial(tmp_path, "own", [("validation", "0", "x", None)])], tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_the_command_names_what_is_missing(tmp_path, capsys):
    from electra_pipeline.cli.options import location
    from electra_pipeline.cli.results import submission

    trial(tmp_path, "sst2", [("test", "0", "positive", None)])
    submission(location(run="r", root=str(tmp_path)), tmp_path / "out")
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "out/glue.zip")
    assert "sst2: seed 0" in told.err and "CoLA.tsv (cola: no trial)" in told.err
    with pytest.raises(ValueError, match="no fine-tuned trial of the run other"):
        submission(location(run="other", root=str(tmp_path)), tmp_path / "out")
