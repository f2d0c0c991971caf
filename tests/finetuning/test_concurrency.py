"""Concurrent writers of the results table: real processes, a real server, one killed."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from electra_pipeline.results import store

NUM_WRITERS, NUM_BATCHES, NUM_SEEDS = 4, 8, 5
# Arguments: database, number of the writer, seeds of a batch, batches.
PREAMBLE = """
import itertools, sys
from electra_pipeline.results import store

database, (number, num_seeds, num_batches) = sys.argv[1], map(int, sys.argv[2:])

def batch(task, value):
    # all rows of a batch bear its value, so that a batch that was torn apart can be seen
    return [
        {"run": "r", "model": "pretrained", "fingerprint": "f", "task": task, "metric": "accuracy",
         "split": "validation", "seed": seed, "value": value, "examples": 1, "seconds": 1.0,
         "trial": str(value), "created_at": "2026-11-21T12:00:00+00:00"}
        for seed in range(num_seeds)
    ]
"""
WRITER = (
    PREAMBLE
    + """
for turn in range(num_batches):
    value = 1000.0 * number + turn
    own = batch(f"own-{number}-{turn}", value)
    store.record(database, [*reversed(own), *batch("shared", value)])
"""
)
VICTIM = (
    PREAMBLE
    + """
for turn in itertools.count():
    store.record(database, batch("victim", float(turn)))
    print(turn, flush=True)
"""
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/results.db"
    else:
        yield request.getfixturevalue("postgresql")


@pytest.fixture
def postgresql(postgresql_url):
    """The URL of a PostgreSQL server without a results table, before and after."""

    def drop():
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS results"))

    engine = create_engine(postgresql_url)
    drop()
    yield postgresql_url
    drop()
    engine.dispose()


def start(code, database, number):
    return subprocess.Popen(
        [sys.executable, "-c", code, database, *map(str, (number, NUM_SEEDS, NUM_BATCHES))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.integration
def test_concurrent_writers_and_a_killed_one_leave_a_complete_table(database):
    victim = start(VICTIM, database, 0)
    writers = [start(WRITER, database, number) for number in range(NUM_WRITERS)]
    try:
        first = victim.stdout.readline()  # from here on it is always writing
        victim.kill()
        rest, victim_errors = victim.communicate()
        for writer in writers:
            _, problems = writer.communicate(timeout=240)
            assert writer.returncode == 0, problems
    finally:
        for process in (victim, *writers):
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
    assert first, victim_errors
    values = {}
    for row in store.read(database):
        values.setdefault(row["task"], []).append(row["value"])
    assert all(len(batch) == NUM_SEEDS and len(set(batch)) == 1 for batch in values.values())
    shared, killed = values.pop("shared")[0], values.pop("victim")[0]
    assert values == {
        f"own-{number}-{turn}": [1000.0 * number + turn] * NUM_SEEDS
        for number in range(NUM_WRITERS)
        for turn in range(NUM_BATCHES)
    }
    # the last batch of some writer; of the killed one what it was told is written, or one more
    assert shared in [1000.0 * number + NUM_BATCHES - 1 for number in range(NUM_WRITERS)]
    last_told = int((first + rest).split()[-1])
    assert killed in (last_told, last_told + 1)


def test_closed_connection_is_a_one_line_error_and_rows_can_be_written_again(postgresql):
    row = {
        **{"run": "r", "model": "pretrained", "fingerprint": "f", "task": "cola", "metric": "m"},
        **{"split": "validation", "seed": 0, "value": 0.5, "examples": 1, "seconds": 1.0},
        **{"trial": "l", "created_at": "2026-11-21T12:00:00+00:00"},
    }
    store.check(postgresql)
    engine = create_engine(postgresql)
    waiting = text(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND query LIKE 'INSERT INTO results%'"
    )
    # a transaction sees one state of pg_stat_activity: who looks is not who holds the lock
    with (
        ThreadPoolExecutor(1) as pool,
        engine.connect() as holder,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher,
    ):
        holder.execute(text("LOCK TABLE results IN EXCLUSIVE MODE"))
        writing = pool.submit(store.record, postgresql, [row])
        deadline = time.monotonic() + 60
        while not (pids := watcher.execute(waiting).scalars().all()):
            assert time.monotonic() < deadline and not writing.done(), writing
            time.sleep(0.02)
        watcher.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pids[0]})
        error = writing.exception(timeout=60)
    engine.dispose()
    assert isinstance(error, ValueError)
    assert "terminating connection" in str(error) and "that the server runs" in str(error)
    assert "\n" not in str(error)
    assert store.read(postgresql) == []
    store.record(postgresql, [row])
    assert [found["value"] for found in store.read(postgresql)] == [0.5]
