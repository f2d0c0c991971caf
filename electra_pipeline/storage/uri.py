"""Places that users name: shown without what opens them, held to what a shared server allows."""

import os
import posixpath
import re
from glob import has_magic
from pathlib import Path
from urllib.parse import unquote, urlsplit

from electra_pipeline.storage.chains import is_chain, split_chain

ALLOWED_PREFIXES = "ELECTRA_PIPELINE_ALLOWED_PREFIXES"
ARCHIVES = ("zip", "tar")  # heads of a chain that read what follows them and nothing else

# Over http a name alone may be a token. Elsewhere it is what a password follows, which may hold an
# @ or, where it was not encoded, a slash; digits up to a slash are a port.
_HTTP_USER = re.compile(r"(\bhttps?://)(?:[^/@\s]*@)+", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^:/@?#\s]*:)(?!:|\d*[/?#])(?:(?:[^/@\s]*@)+|[^@\s]*@)")
_QUERY = re.compile(r"(?<=[?&])([^=&#\s'\"]+)=[^&#\s'\"]+")
# As fsspec takes it, with and without slashes; RFC 8089 has a host there, which may be this one.
_LOCAL = re.compile("^(file|local):(//(localhost(?=/))?)?", re.IGNORECASE)
# Control characters, and bytes that are not UTF-8 as Python holds them (PEP 383)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\udc80-\udcff]")
HIDDEN = "***"
HTTP = ("http://", "https://")


def shown(text: str) -> str:
    """A place, or a text with places in it, without passwords, tokens and values of queries.

    A signature is a part of the query (`?X-Amz-Signature=...`), and which other value opens a file
    nobody knows, so that all are hidden.
    """
    if "://" not in text:
        return text
    text = _HTTP_USER.sub(rf"\1{HIDDEN}@", text)
    return _QUERY.sub(rf"\1={HIDDEN}", _PASSWORD.sub(rf"\1{HIDDEN}@", text))


def local_path(place: str) -> str:
    """A local place as a path: without `file:`, and with the home directory for a leading `~`."""
    path = _LOCAL.sub("", place)
    return os.path.expanduser(path)  # noqa: PTH111, since Path takes ./~ for ~, too


def absolute(place: str) -> str:
    """The same place from any working directory, as a worker has another one; also of a chain."""
    heads, base = split_chain(place)
    local = local_path(base)
    return "::".join((*heads, local if "://" in local else str(Path(local).absolute())))


def as_cause(error: Exception) -> Exception | None:
    """What to raise an error from: `error`, but None where it tells what `shown` hides."""
    return error if shown(str(error)) == str(error) else None


def is_restricted() -> bool:
    """Whether `ELECTRA_PIPELINE_ALLOWED_PREFIXES` says which places may be named."""
    return ALLOWED_PREFIXES in os.environ


def printable(text: str) -> str:
    """A path as UTF-8 on one line: bytes of a name that are none, and line ends, are escaped."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def check_file(place: str) -> None:
    """Raise ValueError unless this file may be read; see `check_folder`.

    Files alone may come over http, whole and named one by one: what fetches them checks each
    redirect too. Of a chain, archives may stand before the place.
    """
    heads, last = split_chain(place)
    if any(head.partition("://")[0] not in ARCHIVES for head in heads):
        _refuse_if_restricted(place, f"only {' and '.join(ARCHIVES)} may stand before ::")
    if last.lower().startswith(HTTP) and (heads or "*" in last):
        _refuse_if_restricted(place, "over http there are whole files alone, named one by one")
    _check_prefix(last)


def refuse_password(place: str) -> None:
    """Raise ValueError if a folder's URI holds a password: it is logged, and named in manifests."""
    if (hidden := shown(place)) != place:
        raise ValueError(
            f"{hidden} holds a password or a token, and this place is logged; take it out, and "
            "give it in the environment (AWS_*, HF_TOKEN, or FSSPEC_<PROTOCOL>_<OPTION>)"
        )


def check_folder(place: str) -> None:
    """Raise ValueError unless this folder may be used, or if its URI holds a password.

    Without `ELECTRA_PIPELINE_ALLOWED_PREFIXES` every place may; with it, those below one of its
    prefixes, which commas separate: paths, URIs, `hf://` (models) and `hf://datasets/` for the
    Hugging Face hub. Symbolic links and `..` are resolved.
    """
    refuse_password(place)
    if is_chain(place) or place.lower().startswith(HTTP):
        _refuse_if_restricted(place, "folders are neither in archives nor on http")
    _check_prefix(place)


def check_model(place: str) -> None:
    """`check_folder` for a model or tokenizer: a folder, a URI or, if it is none, a hub name."""
    is_name = "://" not in place and not place.startswith((".", "/", "~"))
    is_hub_name = is_name and place.count("/") <= 1 and not Path(place).exists()
    check_folder(f"hf://{place}" if is_hub_name else place)


def check_dataset(place: str) -> None:
    """`check_folder` for a data set: a folder or, if it is none, a hub name.

    Raises ValueError for a folder that `datasets` would take for a pattern, and then read others.
    """
    if not Path(place).is_dir():
        check_folder(f"hf://datasets/{place}")
        return
    check_folder(place)
    path = str(Path(place).resolve())
    if has_magic(path) or "::" in path:
        raise ValueError(
            f"{place}: `datasets` takes its path for a pattern or a chain ({path}); rename the "
            "folder to a name without * ? [ and ::, or give its files with type: files"
        )


def _refuse_if_restricted(place: str, reason: str) -> None:
    if is_restricted():
        raise ValueError(
            f"{shown(place)}: this server does not allow this place ({ALLOWED_PREFIXES}: "
            f"{reason}); name another one, or ask whoever runs the server"
        )


def _check_prefix(place: str) -> None:
    given = os.environ.get(ALLOWED_PREFIXES, "").split(",")
    prefixes = [prefix for each in given if (prefix := each.strip())]
    if not any(_is_below(place, prefix) for prefix in prefixes):
        _refuse_if_restricted(place, f"allowed is {', '.join(map(shown, prefixes)) or 'nothing'}")


def _is_below(place: str, prefix: str) -> bool:
    *where, path = _parts(place)
    *allowed, top = _parts(prefix)
    # Also as it is written: an object's name may hold .. as any other text.
    written = (path, posixpath.normpath(path or "/"))
    top = top.rstrip("/")
    return where == allowed and all(each == top or each.startswith(f"{top}/") for each in written)


def _parts(place: str) -> tuple[str, str, str]:
    """Scheme, host (of http) and path; of a local place the path that it really has."""
    local = local_path(place)
    scheme, separator, rest = local.partition("://")
    if not separator:
        return "file", "", os.path.realpath(local)
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        return scheme, "", f"/{rest}"
    parts = urlsplit(place)
    port = parts.port or (443 if scheme == "https" else 80)
    return scheme, f"{parts.hostname}:{port}", unquote(parts.path)
