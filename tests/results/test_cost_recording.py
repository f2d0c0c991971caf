"""Costs as reserved resources times seconds, and their rows in both databases."""

import logging

import pytest

from electra_pipeline.core.execution import LocalExecutor, Resources, Scale
from electra_pipeline.core.progress import Update, silent
from electra_pipeline.results import cost_recording, store
from electra_pipeline.results.cost_recording import (
    MIN_SECONDS,
    SAVE_SECONDS,
    driver_metered,
    metered,
)
from electra_pipeline.results.tables import cost_table
from electra_pipeline.results.tables.cost_table import render_costs


class Clock:
    """A clock that advances only in `work`."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(cost_recording.time, "monotonic", lambda: self.now)

    def work(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/results.db"


def test_tasks_cost_their_resources_times_their_seconds(clock, database):
    resources_by_memory = {3: Resources(2, 0.5), 5: Resources(1, 1.0), 7: Resources(4, 0.0)}

    def work(seconds):
        clock.work(seconds)
        if seconds == 7:
            raise ValueError("lost")

    with metered(database, "a", "finetune", LocalExecutor()) as meter:
        clock.work(100)  # the driver's own time does not count
        outcomes = list(
            meter.map(work, list(resources_by_memory), resources=resources_by_memory.__getitem__)
        )
    assert [str(outcome.error) for outcome in outcomes] == ["None", "None", "lost"]
    (row,) = store.read_costs(database)
    assert (row["run"], row["stage"], row["wall_seconds"]) == ("a", "finetune", 115)
    assert row["cpu_seconds"] == 2 * 3 + 1 * 5
    assert row["gpu_seconds"] == 0.5 * 3 + 1.0 * 5


def test_a_failed_training_costs_all_its_workers_until_it_failed(clock, database):
    class Workers(LocalExecutor):
        def training_resources(self, scale):
            return Resources(4, 1.0)

        def train(self, function, scale, progress):
            clock.work(SAVE_SECONDS)
            progress(Update("pretrain", 1, 9, "steps"))
            (row,) = store.read_costs(database)  # a driver that is killed now has this recorded
            assert row["gpu_seconds"] == 2 * SAVE_SECONDS
            clock.work(5)
            raise RuntimeError("a worker died")

    with (
        pytest.raises(RuntimeError, match="a worker died"),
        metered(database, "a", "pretrain", Workers()) as meter,
    ):
        meter.train(lambda worker: None, Scale(workers=2), silent)
    (row,) = store.read_costs(database)
    assert row["gpu_seconds"] == 2 * (SAVE_SECONDS + 5)
    assert row["cpu_seconds"] == 4 * row["gpu_seconds"]


def test_a_stage_on_the_driver_costs_one_cpu_and_a_reused_one_nothing(clock, database):
    with driver_metered(database, "a", "tokenizer"):
        clock.work(MIN_SECONDS / 2)
    assert store.read_costs(database) == []
    with pytest.raises(KeyboardInterrupt), driver_metered(database, "a", "tokenizer"):
        clock.work(60)
        raise KeyboardInterrupt
    (row,) = store.read_costs(database)
    assert (row["cpu_seconds"], row["gpu_seconds"]) == (60, 0)


def test_nothing_to_do_costs_nothing(database):
    with metered(database, "a", "finetune", LocalExecutor()) as meter:
        assert list(meter.map(str, [])) == []
    assert store.read_costs(database) == []


def test_an_unreachable_database_does_not_fail_the_stage(clock, tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING), driver_metered(f"sqlite:///{tmp_path}/file/x", "a", "b"):
        clock.work(60)
    assert "b: its cost was not recorded: database sqlite:///" in caplog.text


def test_closing_the_outcomes_cancels_running_items(clock, database):
    closed = []

    class Endless(LocalExecutor):
        def map(self, function, items, **options):
            try:
                yield from super().map(function, items, **options)
            finally:
                closed.append(True)

    with metered(database, "a", "corpus", Endless()) as meter:
        outcomes = meter.map(clock.work, [1, 2, 3])
        next(outcomes)
        outcomes.close()
        assert closed == [True]
    (row,) = store.read_costs(database)
    assert row["cpu_seconds"] == 1


def test_costs_of_runs_and_stages_in_sqlite_and_postgresql(postgresql_url):
    rows = [
        {
            "attempt": f"attempt{number}",
            "run": run,
            "stage": stage,
            "started_at": f"2026-11-22T0{number}:00:00+00:00",
            "wall_seconds": 10.0,
            "cpu_seconds": cpu_seconds,
            "gpu_seconds": 0.0,
        }
        for number, (run, stage, cpu_seconds) in enumerate(
            [
                ("costs-a", "corpus", 3600.0),
                ("costs-a", "pretrain", 7200.0),
                ("costs-b", "corpus", 36.0),
            ]
        )
    ]
    again = {**rows[1], "attempt": "attempt9", "started_at": "2026-11-22T09:00:00+00:00"}
    store.record_costs(postgresql_url, [*reversed(rows), again])
    store.record_costs(postgresql_url, [{**rows[0], "cpu_seconds": 1800.0}])  # goes on
    found = store.read_costs(postgresql_url, run="costs-a")
    other = store.read_costs(postgresql_url, run="costs-b")
    assert (found, other) == ([{**rows[0], "cpu_seconds": 1800.0}, rows[1], again], [rows[2]])
    assert cost_table.lines(found + other) == [
        ["costs-a", "corpus", "1", "0.5", "0"],
        ["costs-a", "pretrain", "2", "4", "0"],
        ["costs-a", "all", "3", "4.5", "0"],
        ["costs-b", "corpus", "1", "0.01", "0"],
        ["costs-b", "all", "1", "0.01", "0"],
    ]
    assert "pretrain" in render_costs(found, "markdown")
    assert render_costs(found, "csv").startswith("attempt,run,stage,started_at,")
