"""The results table: one SQL table, the same on SQLite and PostgreSQL, written again at will."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
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
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn, CreateTable

CONNECT_SECONDS = 10  # an unreachable server is reported within this time
POSTGRESQL_PORT = 5432
LOCK_SECONDS = 60.0  # how long one writer of an SQLite file waits for another

Row = Mapping[str, Any]

RESULTS = Table(
    "results",
    MetaData(),
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
    Column("leg", String, nullable=False),  # fingerprint of the artifact that holds the value
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("note", String),  # what must be said beside the value, such as "degenerate"
)
KEY = tuple(str(column.name) for column in RESULTS.primary_key.columns)
OPTIONAL = tuple(str(column.name) for column in RESULTS.columns if column.nullable)


def check(database: str) -> None:
    """Raise ValueError, in one line without the password, if the table cannot be had there."""
    with _connected(database) as engine:
        _create(engine)


def record(database: str, rows: Iterable[Row]) -> None:
    """Write rows; one that is there already, by its key, is replaced. All of them or none."""
    values = [
        {
            **dict.fromkeys(OPTIONAL),
            **row,
            "created_at": datetime.fromisoformat(row["created_at"]).astimezone(UTC),
        }
        for row in rows
    ]
    with _connected(database) as engine:
        _create(engine)
        if not values:
            return
        dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(RESULTS)
        statement = statement.on_conflict_do_update(
            index_elements=KEY,
            set_={
                column.name: statement.excluded[column.name]
                for column in RESULTS.columns
                if not column.primary_key
            },
        )
        # In the order of the key: two writers of the same rows then lock them in the same order.
        values.sort(key=lambda row: tuple(row[name] for name in KEY))
        with engine.begin() as connection:
            connection.execute(statement, values)


def read(database: str, run: str | None = None) -> list[dict[str, Any]]:
    """All rows, or those of one run, sorted by key; none where nothing was recorded yet."""
    url = _parse(database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return []  # connecting would create an empty file
    with _connected(database) as engine:
        if not inspect(engine).has_table(RESULTS.name):
            return []
        # Reading changes nothing: what a table of an older version does not have is None.
        absent = {column.name: None for column in _absent(engine)}
        query = select(*(c for c in RESULTS.columns if c.name not in absent))
        query = query.order_by(*(RESULTS.columns[name] for name in KEY))
        if run is not None:
            query = query.where(RESULTS.columns.run == run)
        with engine.connect() as connection:
            found = [
                {str(name): value for name, value in row.items()} | absent
                for row in connection.execute(query).mappings()
            ]
    for row in found:
        moment: datetime = row[
            "created_at"
        ]  # SQLite gives back no time zone; what is stored is UTC
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        row["created_at"] = moment.isoformat(timespec="seconds")
    return found


def shown(database: str) -> str:
    """The URL without its password."""
    return _parse(database).render_as_string(hide_password=True)


def location(database: str) -> str | None:
    """Where it is, without who enters and how: a path or `postgresql://HOST:PORT/DATABASE`.

    None is a database in memory. Raises ValueError for a URL with options after a `?`, which can
    name another host or file than the URL does.
    """
    url = _parse(database)
    if url.query:
        raise ValueError(
            f"database {shown(database)}: options in the URL may lead elsewhere, which this server "
            "does not allow; set them in the environment (PGSSLMODE, ...)"
        )
    if url.get_backend_name() == "sqlite":
        return None if url.database in (None, "", ":memory:") else url.database
    return f"postgresql://{url.host or ''}:{url.port or POSTGRESQL_PORT}/{url.database or ''}"


@contextmanager
def _connected(database: str) -> Iterator[Engine]:
    """An engine whose errors are one line: the URL without its password, the cause, the remedy."""
    url = _parse(database)
    try:
        if url.get_backend_name() == "sqlite":
            if url.database and url.database != ":memory:":
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
        else:
            engine = create_engine(url, connect_args={"connect_timeout": CONNECT_SECONDS})
        try:
            yield engine
        finally:
            engine.dispose()
    except (SQLAlchemyError, OSError, ImportError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        raise ValueError(
            f"database {url.render_as_string(hide_password=True)}: "
            f"{' '.join(str(cause).split())[:300]}; "
            "check the URL, that the server runs, and that you may write there"
        ) from error


def _parse(database: str) -> URL:
    try:
        url = make_url(database)
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(
                drivername="postgresql+psycopg"
            )  # the driver that comes with this package
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise ValueError(
            "database: not a database URL that can be used "
            f"({type(error).__name__}); write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(
            f"database {url.render_as_string(hide_password=True)}: {url.get_backend_name()} is not "
            "supported; use sqlite or postgresql"
        )
    return url


def _create(engine: Engine) -> None:
    """Make the table, or the columns that an older version's lacks.

    Another process may be doing the same at this moment: who comes second finds it done.
    """
    if inspect(engine).has_table(RESULTS.name):
        for column in _absent(engine):
            _add(engine, column)
        return
    try:
        with engine.begin() as connection:
            connection.execute(CreateTable(RESULTS, if_not_exists=True))
    except DBAPIError:
        # PostgreSQL's IF NOT EXISTS does not keep two sessions from colliding in its catalogue.
        if not inspect(engine).has_table(RESULTS.name):
            raise


def _absent(engine: Engine) -> list[Column[Any]]:
    """The columns that the table of the database does not have."""
    present = {column["name"] for column in inspect(engine).get_columns(RESULTS.name)}
    return [column for column in RESULTS.columns if column.name not in present]


def _add(engine: Engine, column: Column[Any]) -> None:
    try:
        with engine.begin() as connection:
            definition = CreateColumn(column).compile(engine)
            connection.execute(text(f"ALTER TABLE {RESULTS.name} ADD COLUMN {definition}"))
    except DBAPIError:
        if column in _absent(engine):
            raise
