"""Which names of folders are taken: all that mean one folder, and can be shown in one line."""

import re
import sys
import unicodedata

from fsspec import available_protocols

from electra_pipeline.storage.chains import is_chain

LOCAL = {"file", "local"}
_ONE_SLASH = re.compile("([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")


def is_plain_name(part: str) -> bool:
    """Whether a component of a path means the same to all stores, and can be shown in one line."""
    return part not in ("", ".", "..") and not _unprintable(part)


def _unprintable(text: str) -> list[str]:
    # Names stand in logs and tables, a line each, and in JSON and SQL, which take Unicode alone.
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def check_name(uri: str) -> None:
    """Raise ValueError for a URI that names no folder, or one that cannot be used safely."""
    if not uri:
        raise ValueError("a storage location is empty; give a folder or a URI")
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not _has(encoding, uri):
        raise ValueError(
            f"cannot use {uri!r} as a storage location: names of files are in {encoding} here; "
            "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        )
    if wrong := _unprintable(uri):
        raise ValueError(
            f"cannot use {uri!r} as a storage location: {wrong[0]!r} is a control character, a "
            "line break or a byte that is not UTF-8; rename the folder"
        )
    start = _ONE_SLASH.match(uri)
    if start and start[1].lower() in set(available_protocols()) - LOCAL:
        raise ValueError(
            f"cannot use {uri!r} as a storage location: one slash follows {start[1]}:, which would "
            f"be a local folder; write {start[1]}://, or ./{uri} if a folder is meant"
        )
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme in {*LOCAL, "http", "https"} or is_chain(uri):
        return
    parts = rest.strip("/").split("/")
    if parts == [""] and scheme != "memory":
        raise ValueError(f"cannot use {uri!r} as a storage location: it names no folder")
    if wrong := [p for p in parts if "\\" in p or (not is_plain_name(p) and len(parts) > 1)]:
        raise ValueError(
            f"cannot use {uri!r} as a storage location: it has the component {wrong[0]!r}, which "
            "stores take in different ways; write the folder's full name"
        )
    if scheme == "memory" and "::" in rest:  # fsspec then forgets to begin the path with a slash
        raise ValueError(
            f"cannot use {uri!r} as a storage location: memory:// takes no ::; give another name"
        )
