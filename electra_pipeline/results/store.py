"""The results table and, beside it, what runs cost: the same on SQLite and PostgreSQL.

A row is one by its key; writing it again replaces it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.schema import CreateColumn, CreateTable

from electra_pipeline.core.errors import one_line
from electra_pipeline.results.database import TRUE, sqlite_file
from electra_pipeline.storage.uri import check_folder_uri, local_path

CONNECT_SECONDS = 10  # an unreachable server is reported within this time
POSTGRESQL_PORT = 5432
# The drivers that come with this package.
DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
FORMS = "write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
LOCK_SECONDS = 60.0  # how long one writer of an SQLite file waits for another

Row = Mapping[str, Any]

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
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("note", String),  # what must be said beside the value, such as "degenerate"
)
COSTS = Table(  # a row for each attempt at a stage; electra_pipeline/costs.py says what counts
    "costs",
    METADATA,
    Column("attempt", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("wall_seconds", Float(53), nullable=False),
    Column("cpu_seconds", Float(53), nullable=False),
    Column("gpu_seconds", Float(53), nullable=False),
)
KEY = tuple(str(column.name) for column in RESULTS.primary_key.columns)
MOMENTS = ("created_at", "started_at")


class UnreachableError(ValueError):
    """The database does not answer, or not now; a moment later it may."""


def check(database: str) -> None:
    """Raise ValueError, in one line without the password, if the tables cannot be had there."""
    url = _parse(database)
    if url.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise ValueError(
            f"database {_shown(url)}: it is in memory, where results are lost when the command "
            "ends; write sqlite:///PATH"
        )
    with _connected(database) as engine:
        for table in METADATA.sorted_tables:
            _check_ours(engine, table)  # all of them before one is made
        for table in METADATA.sorted_tables:
            _create(engine, table)


def record(database: str, rows: Iterable[Row]) -> None:
    """Write rows of results; one that is there already, by its key, is replaced. All or none."""
    _record(database, RESULTS, rows)


def record_costs(database: str, rows: Iterable[Row]) -> None:
    """Write rows of costs; one that is there already is replaced. All or none."""
    _record(database, COSTS, rows)


def read(database: str, run: str | None = None) -> list[dict[str, Any]]:
    """All results, or those of one run, sorted by key; none where nothing was recorded yet."""
    return _read(database, RESULTS, run, (RESULTS.columns[name] for name in KEY))


def read_costs(database: str, run: str | None = None) -> list[dict[str, Any]]:
    """All costs, or those of one run, as they began; none where nothing was recorded yet."""
    return _read(database, COSTS, run, (COSTS.columns.started_at, COSTS.columns.attempt))


def _record(database: str, table: Table, rows: Iterable[Row]) -> None:
    optional = dict.fromkeys(str(column.name) for column in table.columns if column.nullable)
    values = [
        {
            **optional,
            **row,
            **{
                name: datetime.fromisoformat(row[name]).astimezone(UTC)
                for name in MOMENTS
                if name in row
            },
        }
        for row in rows
    ]
    key = [str(column.name) for column in table.primary_key.columns]
    with _connected(database) as engine:
        _check_ours(engine, table)
        _create(engine, table)
        if not values:
            return
        dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=key,
            set_={
                column.name: statement.excluded[column.name]
                for column in table.columns
                if not column.primary_key
            },
        )
        # In the order of the key: two writers of the same rows then lock them in the same order.
        values.sort(key=lambda row: tuple(row[name] for name in key))
        with engine.begin() as connection:
            connection.execute(statement, values)


def _read(
    database: str, table: Table, run: str | None, order: Iterable[Any]
) -> list[dict[str, Any]]:
    url = _parse(database)
    if url.get_backend_name() == "sqlite":
        file = sqlite_file(url)
        if file is None or not os.path.lexists(file):
            return []  # connecting would create an empty file
    with _connected(database) as engine:
        if not inspect(engine).has_table(table.name):
            return []
        _check_ours(engine, table)
        # Reading changes nothing: what a table of an older version does not have is None.
        absent = {column.name: None for column in _absent(engine, table)}
        query = select(*(c for c in table.columns if c.name not in absent)).order_by(*order)
        if run is not None:
            query = query.where(table.columns.run == run)
        with engine.connect() as connection:
            found = [
                {str(name): value for name, value in row.items()} | absent
                for row in connection.execute(query).mappings()
            ]
    for row in found:
        for name in MOMENTS:
            if name in row:
                row[name] = _in_utc(row[name]).isoformat(timespec="seconds")
    return found


def _in_utc(moment: datetime) -> datetime:
    """SQLite gives back no time zone; what is stored is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def shown(database: str) -> str:
    """The URL without its password."""
    return _shown(_parse(database))


def location(database: str) -> str | None:
    """Where it is, without who enters and how: a path or `postgresql://HOST:PORT/DATABASE`.

    None is a database in memory. Raises ValueError for a URL with options after a `?`, which can
    name another host or file than the URL does.
    """
    url = _parse(database)
    is_sqlite = url.get_backend_name() == "sqlite"
    if dict(url.query) not in ({}, {"uri": "true"} if is_sqlite else {}):
        raise ValueError(
            f"database {shown(database)}: options in the URL may lead elsewhere, which this server "
            "does not allow; set them in the environment (PGSSLMODE, ...)"
        )
    if is_sqlite:
        file = sqlite_file(url)
        return None if file is None else str(file)
    return f"postgresql://{url.host or ''}:{url.port or POSTGRESQL_PORT}/{url.database or ''}"


@contextmanager
def _connected(database: str) -> Iterator[Engine]:
    """An engine whose errors are one line: the URL without its password, the cause, the remedy."""
    url = _parse(database)
    try:
        if url.get_backend_name() == "sqlite":
            if (file := sqlite_file(url)) is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
        else:
            engine = create_engine(url, connect_args={"connect_timeout": CONNECT_SECONDS})
        try:
            yield engine
        finally:
            engine.dispose()
    except (SQLAlchemyError, OSError, ImportError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        kind = UnreachableError if isinstance(error, OperationalError) else ValueError
        raise kind(
            f"database {_shown(url)}: "
            f"{one_line(cause, 300)}; "
            "check the URL, that the server runs, and that you may write there"
        ) from error
    except ValueError as error:  # a driver's of an option, or ours
        raise ValueError(f"database {_shown(url)}: {error}") from error


def _parse(database: str) -> URL:
    """The URL with our driver, whichever it names: Prefect's, for one, are those of asyncio.

    Raises ValueError, in one line without the password, for what is neither SQLite nor PostgreSQL.
    """
    try:
        url = make_url(database)
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"database: not a database URL; {FORMS}") from error
    backend, _, driver = url.drivername.lower().partition("+")
    if backend not in DRIVERS:
        raise ValueError(f"database {_shown(url)}: {backend} is not supported; {FORMS}")
    if backend == "sqlite" and (url.host or url.username or url.password):
        raise ValueError(
            f"database {_shown(url)}: an SQLite URL has a path alone; write sqlite:///PATH, with a "
            "fourth slash if the path is absolute"
        )
    if backend == "sqlite" and url.database:
        if "://" in url.database and url.query.get("uri") not in TRUE:
            raise ValueError(f"database {_shown(url)}: SQLite takes local paths alone; {FORMS}")
        if url.database.startswith("~"):  # which SQLite takes for a folder of this name
            url = url.set(database=local_path(url.database))
        check_folder_uri(str(sqlite_file(url) or ":memory:"))
    if url.host and "@" in url.host:  # a part of the password, which would be shown
        raise ValueError("database: its user or password holds an @; write it as %40")
    if driver == "asyncpg" and "ssl" in url.query:  # what libpq calls sslmode
        query = {("sslmode" if key == "ssl" else key): url.query[key] for key in url.query}
        url = url.set(query=query)
    return url.set(drivername=DRIVERS[backend])


def _shown(url: URL) -> str:
    """The URL without its passwords, also those among its options."""
    hidden = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _check_ours(engine: Engine, table: Table) -> None:
    """Raise ValueError if another program has a table of this name there."""
    found = inspect(engine)
    if not found.has_table(table.name):
        return
    missing = [column.name for column in _absent(engine, table) if not column.nullable]
    key = {column.name for column in table.primary_key.columns}
    if missing or set(found.get_pk_constraint(table.name)["constrained_columns"]) != key:
        without = f"no column {missing[0]}" if missing else "another primary key"
        raise ValueError(
            f"its table {table.name} is not one of ours ({without}); give another database"
        )


def _create(engine: Engine, table: Table) -> None:
    """Make the table, or the columns that an older version's lacks.

    Another process may be doing the same at this moment: who comes second finds it done.
    """
    if inspect(engine).has_table(table.name):
        for column in _absent(engine, table):
            _add(engine, table, column)
        return
    try:
        with engine.begin() as connection:
            connection.execute(CreateTable(table, if_not_exists=True))
    except DBAPIError:
        # PostgreSQL's IF NOT EXISTS does not keep two sessions from colliding in its catalogue.
        if not inspect(engine).has_table(table.name):
            raise


def _absent(engine: Engine, table: Table) -> list[Column[Any]]:
    """The columns that the table of the database does not have."""
    present = {column["name"] for column in inspect(engine).get_columns(table.name)}
    return [column for column in table.columns if column.name not in present]


def _add(engine: Engine, table: Table, column: Column[Any]) -> None:
    try:
        with engine.begin() as connection:
            definition = CreateColumn(column).compile(engine)
            connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))
    except DBAPIError:
        if column in _absent(engine, table):
            raise
