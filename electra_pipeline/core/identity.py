"""Identity of artifacts and files: typed, frozen configurations, fingerprints and digests."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base class of all configurations: frozen; unknown keys are refused with their path."""

    # Field docstrings become descriptions, which the Prefect UI shows in its form.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys: equal values give equal bytes on every machine."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def fingerprint(
    stage: str, format_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """Return 12 hex digits that identify everything that determines the bytes of an artifact.

    `config` contains only what changes the result (never workers, paths or retries); `inputs` maps
    each input's role to its fingerprint, or to a content digest for files from outside.
    """
    identity = {"stage": stage, "format": format_version, "config": config, "inputs": inputs}
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:12]


def stream_sha256(stream: IO[bytes]) -> str:
    """Return the sha256 of the bytes from the stream's position to its end, in hex."""
    return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a local file, in hex."""
    with path.open("rb") as file:
        return stream_sha256(file)
