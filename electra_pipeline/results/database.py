"""Database URLs: parsing, redaction, and engines for SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.uri import check_folder_uri, local_path

CONNECT_SECONDS = 10  # an unreachable server is reported within this time
POSTGRESQL_PORT = 5432
# The drivers that this package installs
DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
FORMS = "write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
LOCK_SECONDS = 60.0  # how long one writer of an SQLite file waits for another

IN_MEMORY = (None, "", ":memory:")
TRUE = ("true", "yes", "on", "y", "t", "1")  # as SQLAlchemy reads them


def sqlite_url(path: str) -> str:
    """Return the SQLAlchemy URL of a database file; any character is allowed in `path`.

    SQLAlchemy reads everything before the first `?` as the path, unquoted. A path that contains
    one is given as an SQLite URI, where it can be quoted: https://www.sqlite.org/uri.html.
    """
    if "?" in path or path.startswith("file:"):
        return f"sqlite:///file:{quote(path)}?uri=true"
    return f"sqlite:///{path}"


def default_database(root: str) -> str:
    """Return the URL of a root's results table: beside the artifacts if they are on local disk."""
    folder = Folder(root)
    return sqlite_url(f"{folder.path}/results.db" if folder.is_local else "runs/results.db")


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite URL in either form; None for a database in memory."""
    if url.database in IN_MEMORY:
        return None
    if not url.database.startswith("file:") or url.query.get("uri") not in TRUE:
        return Path(url.database)
    path = unquote(urlsplit(url.database).path)
    return None if path in IN_MEMORY or url.query.get("mode") == "memory" else Path(path)


class UnreachableError(ValueError):
    """The database does not answer; a later attempt may succeed."""


def parse_url(database: str) -> URL:
    """Return the URL with a driver that this package installs.

    The URL may name another driver: Prefect's URLs, for example, name asyncio drivers. Raises
    ValueError, in one line without the password, if it is neither SQLite nor PostgreSQL.
    """
    try:
        url = make_url(database)
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"database: not a database URL; {FORMS}") from error
    backend, _, driver = url.drivername.lower().partition("+")
    if backend not in DRIVERS:
        raise ValueError(f"database {redacted_url(url)}: {backend} is not supported; {FORMS}")
    if backend == "sqlite" and (url.host or url.username or url.password):
        raise ValueError(
            f"database {redacted_url(url)}: an SQLite URL has only a path; write sqlite:///PATH, "
            "with a fourth slash if the path is absolute"
        )
    if backend == "sqlite" and url.database:
        if "://" in url.database and url.query.get("uri") not in TRUE:
            raise ValueError(
                f"database {redacted_url(url)}: SQLite takes only local paths; {FORMS}"
            )
        if url.database.startswith("~"):  # SQLite would create a folder named ~
            url = url.set(database=local_path(url.database))
        check_folder_uri(str(sqlite_file(url) or ":memory:"))
    if url.host and "@" in url.host:  # part of an unquoted password, which would be printed
        raise ValueError("database: its user or password holds an @; write it as %40")
    if driver == "asyncpg" and "ssl" in url.query:  # libpq's name is sslmode
        query = {("sslmode" if key == "ssl" else key): url.query[key] for key in url.query}
        url = url.set(query=query)
    return url.set(drivername=DRIVERS[backend])


def redacted_database(database: str) -> str:
    """Return the URL without its passwords."""
    return redacted_url(parse_url(database))


def database_location(database: str) -> str | None:
    """Return the database without user and options: a path or `postgresql://HOST:PORT/DATABASE`.

    None stands for a database in memory. Raises ValueError for a URL with options after a `?`:
    they can name another host or file than the URL does.
    """
    url = parse_url(database)
    is_sqlite = url.get_backend_name() == "sqlite"
    if dict(url.query) not in ({}, {"uri": "true"} if is_sqlite else {}):
        raise ValueError(
            f"database {redacted_database(database)}: this server does not allow options in the "
            "URL, which may name another host or file; set them in the environment (PGSSLMODE, ...)"
        )
    if is_sqlite:
        file = sqlite_file(url)
        return None if file is None else str(file)
    return f"postgresql://{url.host or ''}:{url.port or POSTGRESQL_PORT}/{url.database or ''}"


@contextmanager
def connect(database: str) -> Iterator[Engine]:
    """Open an engine; its errors are one line: the redacted URL, the cause, the remedy."""
    url = parse_url(database)
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
            f"database {redacted_url(url)}: "
            f"{' '.join(str(cause).split())[:300]}; "
            "check the URL, that the server runs, and that you may write there"
        ) from error
    except ValueError as error:  # an option that the driver refuses, or one of ours
        raise ValueError(f"database {redacted_url(url)}: {error}") from error


def redacted_url(url: URL) -> str:
    """Return the URL without its passwords, those in options included."""
    hidden = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
