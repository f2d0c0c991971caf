"""The tables `results` and `costs`, on SQLite or PostgreSQL.

Writing a row whose key exists replaces it.
"""

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, CreateTable

from electra_pipeline.results.database import connect, parse_url, redacted_url, sqlite_file

Row = Mapping[str, Any]


class Moment(TypeDecorator[str]):
    """A time, which is stored in UTC; in Python it is text in ISO 8601's format."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> datetime:
        return datetime.fromisoformat(value).astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> str:
        # SQLite returns no time zone.
        in_utc: datetime = (
            value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        )
        return in_utc.isoformat(timespec="seconds")


METADATA = MetaData()
RESULTS = Table(
    "results",
    METADATA,
    Column("run", String, primary_key=True),
    Column("model", String, primary_key=True),  # starting weights: pretrained, random, majority
    Column("fingerprint", String, primary_key=True),  # of the published model
    Column("task", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("split", String, primary_key=True),
    Column("seed", Integer, primary_key=True),
    Column("value", Float(53), nullable=False),
    Column("lower", Float(53)),  # 95 % interval of value over the examples, where it is known
    Column("upper", Float(53)),
    Column("examples", Integer, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("trial", String, nullable=False),  # fingerprint of the artifact that holds the value
    Column("created_at", Moment, nullable=False),
    Column("note", String),  # a remark on the value, such as "degenerate"
)
COSTS = Table(  # a row for each attempt at a stage; see cost_recording.py
    "costs",
    METADATA,
    Column("attempt", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("wall_seconds", Float(53), nullable=False),
    Column("cpu_seconds", Float(53), nullable=False),
    Column("gpu_seconds", Float(53), nullable=False),
)
RENAMED_COLUMNS = {"results": {"leg": "trial"}}  # version 0.1: version 0.2
KEY = tuple(str(column.name) for column in RESULTS.primary_key.columns)


def check(database: str) -> None:
    """Create the tables if they are missing.

    Raises ValueError, in one line without the password, if that is not possible.
    """
    url = parse_url(database)
    if url.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise ValueError(
            f"database {redacted_url(url)}: a database in memory ends with the command; write "
            "sqlite:///PATH"
        )
    with connect(database) as engine:
        for table in METADATA.sorted_tables:
            _check_schema(engine, table)  # all tables before any is created
        for table in METADATA.sorted_tables:
            _create(engine, table)


def record(database: str, rows: Iterable[Row]) -> None:
    """Insert or replace rows of the results table, in one transaction."""
    _record(database, RESULTS, rows)


def record_costs(database: str, rows: Iterable[Row]) -> None:
    """Insert or replace rows of the costs table, in one transaction."""
    _record(database, COSTS, rows)


def read(database: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return all results, or those of one run, sorted by key; none if no table exists."""
    return _read(database, RESULTS, run, (RESULTS.columns[name] for name in KEY))


def read_costs(database: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return all costs, or those of one run, by start time; none if no table exists."""
    return _read(database, COSTS, run, (COSTS.columns.started_at, COSTS.columns.attempt))


def _record(database: str, table: Table, rows: Iterable[Row]) -> None:
    optional = dict.fromkeys(str(column.name) for column in table.columns if column.nullable)
    values = [{**optional, **row} for row in rows]
    key = [str(column.name) for column in table.primary_key.columns]
    with connect(database) as engine:
        _check_schema(engine, table)
        _create(engine, table)
        if not values:
            return
        # of this database alone: reading needs neither dialect
        dialect = import_module(f"sqlalchemy.dialects.{engine.dialect.name}")
        statement = dialect.insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=key,
            set_={
                column.name: statement.excluded[column.name]
                for column in table.columns
                if not column.primary_key
            },
        )
        # Sorted by key, so that two writers of the same rows lock them in the same order.
        values.sort(key=lambda row: tuple(row[name] for name in key))
        with engine.begin() as connection:
            connection.execute(statement, values)


def _read(
    database: str, table: Table, run: str | None, order: Iterable[Any]
) -> list[dict[str, Any]]:
    url = parse_url(database)
    if url.get_backend_name() == "sqlite":
        file = sqlite_file(url)
        if file is None or not os.path.lexists(file):
            return []  # connecting would create an empty file
    with connect(database) as engine:
        if not inspect(engine).has_table(table.name):
            return []
        _check_schema(engine, table)
        # Reading does not alter the table: columns that an older version lacks are None.
        present = _column_names(engine, table)
        absent = {column.name: None for column in _absent(table, present)}
        old_names = {new: old for old, new in _renamed(table, present).items()}
        columns = [
            literal_column(old_names[c.name], c.type).label(c.name) if c.name in old_names else c
            for c in table.columns
            if c.name not in absent
        ]
        query = select(*columns).select_from(table).order_by(*order)
        if run is not None:
            query = query.where(table.columns.run == run)
        with engine.connect() as connection:
            return [
                {str(name): value for name, value in row.items()} | absent
                for row in connection.execute(query).mappings()
            ]


def _check_schema(engine: Engine, table: Table) -> None:
    """Raise ValueError if a table of this name has another schema."""
    found = inspect(engine)
    if not found.has_table(table.name):
        return
    absent = _absent(table, _column_names(engine, table))
    missing = [column.name for column in absent if not column.nullable]
    key = {column.name for column in table.primary_key.columns}
    if missing or set(found.get_pk_constraint(table.name)["constrained_columns"]) != key:
        without = f"no column {missing[0]}" if missing else "another primary key"
        raise ValueError(
            f"its table {table.name} has another schema ({without}); give another database"
        )


def _create(engine: Engine, table: Table) -> None:
    """Create the table, or bring one of an older version up to date.

    Another process may do the same at the same time: the second one finds it done.
    """
    if inspect(engine).has_table(table.name):
        present = _column_names(engine, table)
        for old, new in _renamed(table, present).items():
            _alter(engine, table, f"RENAME COLUMN {old} TO {new}", new)
        for column in _absent(table, present):
            _alter(engine, table, f"ADD COLUMN {CreateColumn(column).compile(engine)}", column.name)
        return
    try:
        with engine.begin() as connection:
            connection.execute(CreateTable(table, if_not_exists=True))
    except DBAPIError:
        # PostgreSQL's IF NOT EXISTS does not keep two sessions from colliding in its catalogue.
        if not inspect(engine).has_table(table.name):
            raise


def _column_names(engine: Engine, table: Table) -> set[str]:
    return {str(column["name"]) for column in inspect(engine).get_columns(table.name)}


def _renamed(table: Table, present: set[str]) -> dict[str, str]:
    """Return the columns that are present under an old name: {old name: new name}."""
    return {
        old: new
        for old, new in RENAMED_COLUMNS.get(table.name, {}).items()
        if old in present and new not in present
    }


def _absent(table: Table, present: set[str]) -> list[Column[Any]]:
    """Return the table's columns that are not present, neither under an old name."""
    new_names = _renamed(table, present).values()
    return [column for column in table.columns if column.name not in {*present, *new_names}]


def _alter(engine: Engine, table: Table, change: str, column: str) -> None:
    """Alter the table, unless another process has made the column meanwhile."""
    try:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table.name} {change}"))
    except DBAPIError:
        if column not in _column_names(engine, table):
            raise
