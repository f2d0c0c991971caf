"""Variants of a configuration: every combination of the varied values."""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from electra_pipeline import config as configuration
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.yaml_text import parse_yaml

FIXED = ("name", "root", "database", "scale")  # of the sweep as a whole
MAX_VALUE_CHARACTERS = 24  # of one value in a variant's name
MAX_NAME_CHARACTERS = 100  # of all of them: folders add a task, a seed and a fingerprint to it


@dataclass(frozen=True)
class Variant:
    """One combination of the varied values."""

    sweep: str
    """Name of the configuration that is varied."""
    values: Mapping[str, Any]
    """The varied values, by path."""
    config: PipelineConfig

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def label(self) -> str:
        return label_of(self.values)

    @property
    def shared(self) -> PipelineConfig:
        """The configuration under the name of the sweep, for stages that variants share."""
        return self.config.model_copy(update={"name": self.sweep})


def parse(vary: str) -> tuple[str, list[Any]]:
    """Parse `PATH=V1,V2` into path and values; each value is YAML, and may be a list itself."""
    path, separator, text = vary.partition("=")
    example = "expected PATH=V1,V2, such as pretrain.learning_rate=2e-4,5e-4"
    if not separator or not path or not text.strip():
        raise ValueError(f"--vary {vary}: {example}")
    try:
        values = parse_yaml(f"[{text}]")
    except ValueError as error:
        raise ValueError(f"--vary {vary}: the values are not valid YAML; {example}") from error
    return path, list(values)


def expand(values: Mapping[str, Any], origin: str, vary: Sequence[str]) -> list[Variant]:
    """Return every combination of the varied values, as validated configurations.

    `values` is a configuration as the user wrote it, `origin` its name in messages, `vary` holds
    one `PATH=V1,V2` for each path. A variant trains on one worker, whatever `scale.workers` is: the
    machine is shared between variants. Raises ValueError, in one line, for an invalid variant.
    """
    lists = [parse(each) for each in vary]
    paths = [path for path, _ in lists]
    for path, count in Counter(paths).items():
        if count > 1:
            raise ValueError(
                f"--vary {path}: given {count} times; put all its values into one --vary"
            )
        if path.split(".")[0] in FIXED:
            raise ValueError(
                f"--vary {path}: {path.split('.')[0]} is the same for the whole sweep; set it with "
                "--set, and vary what changes the numbers"
            )
    variants = []
    for combination in itertools.product(*(given for _, given in lists)):
        varied = dict(zip(paths, combination, strict=True))
        changed = deepcopy(dict(values))
        for path, value in varied.items():
            configuration.set_value(changed, path, value, f"--vary {path}")
        if "name" in changed:
            changed["name"] = variant_name(str(changed["name"]), varied)
        config = configuration.validate(changed, f"{origin}, variant {label_of(varied)}")
        scale = config.scale.model_copy(update={"workers": 1})
        config = config.model_copy(update={"scale": scale})
        variants.append(Variant(str(values["name"]), varied, config))
    names = Counter(variant.name for variant in variants)
    for variant in variants:
        if names[variant.name] > 1:
            raise ValueError(f"--vary: duplicate variant {variant.label}; keep one")
    return variants


def variant_name(sweep: str, values: Mapping[str, Any]) -> str:
    """Return `small-learning_rate-0.0005-seed-1`: readable, and equal for equal values.

    Values that do not fit into a name are shortened, and a digest of them is appended.
    """
    last = {path: path.rsplit(".", 1)[-1] for path in values}
    is_clear = len(set(last.values())) == len(last)
    parts = []
    for path, value in values.items():
        text = text_of(value)
        readable = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")[:MAX_VALUE_CHARACTERS]
        parts += [last[path] if is_clear else path]
        parts += [readable] if readable == text else [readable, _short_digest(text)]
    suffix = "-".join(part for part in parts if part)
    if len(suffix) > MAX_NAME_CHARACTERS:
        suffix = f"{suffix[:MAX_NAME_CHARACTERS]}-{_short_digest(suffix)}"
    return f"{sweep}-{suffix}"


def label_of(values: Mapping[str, Any]) -> str:
    """Return `pretrain.seed=1, pretrain.learning_rate=0.0005`."""
    return ", ".join(f"{path}={text_of(value)}" for path, value in values.items())


def text_of(value: Any) -> str:
    """Return a value in one line: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
