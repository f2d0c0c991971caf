"""URIs and paths: fsspec chains, valid folder names, redaction, the allow-list of a server."""

import os
import posixpath
import re
import sys
import unicodedata
from glob import has_magic
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fsspec import available_protocols

ALLOWED_PREFIXES = "ELECTRA_PIPELINE_ALLOWED_PREFIXES"
ARCHIVES = ("zip", "tar")  # heads of a chain that read only what follows them
HTTP = ("http://", "https://")
REDACTED = "***"
_LOCAL_SCHEMES = {"file", "local"}

# What fsspec reads through another path, and what may therefore precede ::
_CHAIN_HEAD = re.compile(
    "(zip|tar|libarchive|dir|reference)://.*|(simplecache|filecache|blockcache|cached)(://.*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ONE_SLASH = re.compile("([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")
# As fsspec reads it, with and without slashes; RFC 8089 has a host there, which may be localhost.
_LOCAL = re.compile("^(file|local):(//(localhost(?=/))?)?", re.IGNORECASE)
# Over http a user name alone may be a token. Elsewhere it precedes a password, which may contain an
# @ or, if it was not encoded, a slash; digits up to a slash are a port.
_HTTP_USER = re.compile(r"(\bhttps?://)(?:[^/@\s]*@)+", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^:/@?#\s]*:)(?!:|\d*[/?#])(?:(?:[^/@\s]*@)+|[^@\s]*@)")
_QUERY = re.compile(r"(?<=[?&])([^=&#\s'\"]+)=[^&#\s'\"]+")
# Control characters, and bytes that are not UTF-8 as Python represents them (PEP 383)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")


def is_chain(uri: str) -> bool:
    """Return whether this is an fsspec chain, such as `zip://member.txt::archive.zip`."""
    return bool(split_chain(uri)[0])


def split_chain(uri: str) -> tuple[list[str], str]:
    """Return the heads of an fsspec chain, and the path or URI at its end.

    `::` may also be part of a name (`std::vector.txt`, inside and outside of archives): only what
    fsspec reads through another path is a head.
    """
    first, *rest = uri.split("::")
    if not rest or not _CHAIN_HEAD.fullmatch(first):
        return [], uri
    heads = [first]
    while len(rest) > 1:
        if _CHAIN_HEAD.fullmatch(rest[0]):
            heads.append(rest.pop(0))
        elif _SCHEME.match(rest[0]):
            break
        else:
            heads[-1] += f"::{rest.pop(0)}"
    return heads, "::".join(rest)


def local_path(uri: str) -> str:
    """Return a local URI as a path: without `file:`, and with a leading `~` expanded."""
    path = _LOCAL.sub("", uri)
    return os.path.expanduser(path)  # noqa: PTH111, since Path reads ./~ as ~, too


def absolute_uri(uri: str) -> str:
    """Return the URI with its local path made absolute, also at the end of a chain.

    Workers run in another working directory.
    """
    heads, base = split_chain(uri)
    local = local_path(base)
    return "::".join((*heads, local if "://" in local else str(Path(local).absolute())))


def printable(text: str) -> str:
    """Return a path as UTF-8 on one line: line ends and bytes that are not UTF-8 are escaped."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def is_plain_name(part: str) -> bool:
    """Return whether a path component is the same in all stores, and fits on one line."""
    return part not in ("", ".", "..") and not _unprintable_characters(part)


def _unprintable_characters(text: str) -> list[str]:
    # Names are written to logs and tables, one a line, and to JSON and SQL, which need Unicode.
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]


def unusable_uri(uri: str, reason: str) -> ValueError:
    """Return the error for a URI that cannot be a folder; `reason` ends with the remedy."""
    return ValueError(f"cannot use {uri!r} as a storage location: {reason}")


def check_folder_uri(uri: str) -> None:
    """Raise ValueError for a URI that names no folder, or one that cannot be used safely."""
    if not uri:
        raise ValueError("a storage location is empty; give a folder or a URI")
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not _can_encode(encoding, uri):
        reason = f"file names are encoded in {encoding} here; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        raise unusable_uri(uri, reason)
    if wrong := _unprintable_characters(uri):
        reason = f"{wrong[0]!r} is a control character, a line break or a byte that is not UTF-8"
        raise unusable_uri(uri, f"{reason}; rename the folder")
    start = _ONE_SLASH.match(uri)
    if start and start[1].lower() in set(available_protocols()) - _LOCAL_SCHEMES:
        reason = f"one slash follows {start[1]}:, which would be a local folder"
        raise unusable_uri(uri, f"{reason}; write {start[1]}://, or ./{uri} if a folder is meant")
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme in {*_LOCAL_SCHEMES, "http", "https"} or is_chain(uri):
        return
    parts = rest.strip("/").split("/")
    if parts == [""] and scheme != "memory":
        raise unusable_uri(uri, "it names no folder")
    if wrong := [p for p in parts if "\\" in p or (not is_plain_name(p) and len(parts) > 1)]:
        reason = f"stores interpret its component {wrong[0]!r} in different ways"
        raise unusable_uri(uri, f"{reason}; write the folder's full name")
    if scheme == "memory" and "::" in rest:  # fsspec then omits the slash that begins the path
        raise unusable_uri(uri, "memory:// does not allow ::; give another name")


def _can_encode(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def redacted(text: str) -> str:
    """Return a URI, or a text that contains URIs, without passwords, tokens and query values.

    A signature is part of the query (`?X-Amz-Signature=...`), and any other value may grant access
    as well, so all values are redacted.
    """
    if "://" not in text:
        return text
    text = _HTTP_USER.sub(rf"\1{REDACTED}@", text)
    return _QUERY.sub(rf"\1={REDACTED}", _PASSWORD.sub(rf"\1{REDACTED}@", text))


def safe_cause(error: Exception) -> Exception | None:
    """Return what to raise an error from: `error`, or None if its message contains secrets."""
    return error if redacted(str(error)) == str(error) else None


def check_no_password(uri: str) -> None:
    """Raise ValueError if a folder's URI contains a password: URIs are logged and kept."""
    if (safe := redacted(uri)) != uri:
        raise ValueError(
            f"{safe} contains a password or a token, and this URI is logged; remove it, and "
            "give it in the environment (AWS_*, HF_TOKEN, or FSSPEC_<PROTOCOL>_<OPTION>)"
        )


def is_restricted() -> bool:
    """Return whether `ELECTRA_PIPELINE_ALLOWED_PREFIXES` restricts which URIs users may name."""
    return ALLOWED_PREFIXES in os.environ


def check_file_allowed(uri: str) -> None:
    """Raise ValueError unless this file may be read; see `check_folder_allowed`.

    Only files are allowed over http, whole and named one by one: the download checks each redirect
    too. In a chain, archives may precede the URI.
    """
    heads, last = split_chain(uri)
    if any(head.partition("://")[0] not in ARCHIVES for head in heads):
        _refuse_if_restricted(uri, f"only {' and '.join(ARCHIVES)} may precede ::")
    if last.lower().startswith(HTTP) and (heads or "*" in last):
        _refuse_if_restricted(uri, "over http only whole files are allowed, named one by one")
    _check_prefix(last)


def check_folder_allowed(uri: str) -> None:
    """Raise ValueError unless this folder may be used, or if its URI contains a password.

    Without `ELECTRA_PIPELINE_ALLOWED_PREFIXES` every URI is allowed; with it, only those below one
    of its comma-separated prefixes: paths, URIs, `hf://` (models) and `hf://datasets/` for the
    Hugging Face hub. Symbolic links and `..` are resolved.
    """
    check_no_password(uri)
    if is_chain(uri) or uri.lower().startswith(HTTP):
        _refuse_if_restricted(uri, "folders must not be in archives or on http")
    _check_prefix(uri)


def check_model_allowed(uri: str) -> None:
    """Check, like `check_folder_allowed`, a model or tokenizer: a folder, a URI or a hub name."""
    is_name = "://" not in uri and not uri.startswith((".", "/", "~"))
    is_hub_name = is_name and uri.count("/") <= 1 and not Path(uri).exists()
    check_folder_allowed(f"hf://{uri}" if is_hub_name else uri)


def check_dataset_allowed(path: str) -> None:
    """Check, like `check_folder_allowed`, a data set: an existing folder or else a hub name.

    Raises ValueError for a folder that `datasets` would read as a pattern, matching others.
    """
    if not Path(path).is_dir():
        check_folder_allowed(f"hf://datasets/{path}")
        return
    check_folder_allowed(path)
    resolved = str(Path(path).resolve())
    if has_magic(resolved) or "::" in resolved:
        raise ValueError(
            f"{path}: `datasets` reads its path as a pattern or a chain ({resolved}); rename the "
            "folder to a name without * ? [ and ::, or give its files with type: files"
        )


def _refuse_if_restricted(uri: str, reason: str) -> None:
    if is_restricted():
        raise ValueError(
            f"{redacted(uri)}: this server does not allow this URI ({ALLOWED_PREFIXES}: "
            f"{reason}); name another one, or ask the server's administrator"
        )


def _check_prefix(uri: str) -> None:
    listed = os.environ.get(ALLOWED_PREFIXES, "").split(",")
    prefixes = [prefix for each in listed if (prefix := each.strip())]
    if not any(_is_below(uri, prefix) for prefix in prefixes):
        allowed = ", ".join(map(redacted, prefixes)) or "nothing"
        _refuse_if_restricted(uri, f"allowed is {allowed}")


def _is_below(uri: str, prefix: str) -> bool:
    *location, path = _scheme_host_path(uri)
    *allowed, top = _scheme_host_path(prefix)
    # Also as it is written: an object's name may contain .. like any other text.
    spellings = (path, posixpath.normpath(path or "/"))
    top = top.rstrip("/")
    return location == allowed and all(
        each == top or each.startswith(f"{top}/") for each in spellings
    )


def _scheme_host_path(uri: str) -> tuple[str, str, str]:
    """Return scheme, host (of http) and path; of a local URI the path with links resolved."""
    local = local_path(uri)
    scheme, separator, rest = local.partition("://")
    if not separator:
        return "file", "", os.path.realpath(local)
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        return scheme, "", f"/{rest}"
    parts = urlsplit(uri)
    port = parts.port or (443 if scheme == "https" else 80)
    return scheme, f"{parts.hostname}:{port}", unquote(parts.path)
