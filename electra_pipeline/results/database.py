"""Which file an SQLite URL names."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy.engine import URL

from electra_pipeline.storage.folder import Folder

IN_MEMORY = (None, "", ":memory:")
TRUE = ("true", "yes", "on", "y", "t", "1")  # as SQLAlchemy reads them


def sqlite_url(path: str) -> str:
    """The SQLAlchemy URL of a database in this file, whatever characters its path has.

    SQLAlchemy takes all before the first `?` for the path as it stands. A path that has one is
    given in SQLite's own form, where it can be quoted: https://www.sqlite.org/uri.html.
    """
    if "?" in path or path.startswith("file:"):
        return f"sqlite:///file:{quote(path)}?uri=true"
    return f"sqlite:///{path}"


def default_database(root: str) -> str:
    """Return the URL of a root's results table: beside the artifacts if they are on local disk."""
    folder = Folder(root)
    return sqlite_url(f"{folder.path}/results.db" if folder.is_local else "runs/results.db")


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite URL, in either form; None for a database in memory."""
    if url.database in IN_MEMORY:
        return None
    if not url.database.startswith("file:") or url.query.get("uri") not in TRUE:
        return Path(url.database)
    path = unquote(urlsplit(url.database).path)
    return None if path in IN_MEMORY or url.query.get("mode") == "memory" else Path(path)
