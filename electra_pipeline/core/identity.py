"""What determines the bytes of an artifact: typed, frozen configuration and its fingerprint."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of every configuration: frozen, and unknown keys are refused with their path."""

    # Field docstrings become descriptions, so that the Prefect UI explains the form it draws.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )


def canonical_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys: equal values give equal bytes on every machine."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def fingerprint(
    stage: str, format_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """12 hex digits over all that determines the bytes of an artifact.

    `config` holds identity only (never workers, paths or retries); `inputs` maps each input's role
    to its fingerprint, or to a content digest where the input comes from outside.
    """
    identity = {"stage": stage, "format": format_version, "config": config, "inputs": inputs}
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:12]
