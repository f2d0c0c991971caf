"""The stages' configurations composed into one, and how a user gives it: preset, file, `--set`."""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from electra_pipeline.core.execution import Scale
from electra_pipeline.core.identity import Config
from electra_pipeline.core.yaml_text import decode_yaml, parse_yaml
from electra_pipeline.corpus.build import CorpusConfig
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.presets import preset_text
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.sequences import SequencesConfig
from electra_pipeline.publishing.huggingface import PublishConfig
from electra_pipeline.results.database import sqlite_url
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.stores import open_store
from electra_pipeline.storage.uri import shown
from electra_pipeline.tokenizer.train import TokenizerConfig

# File systems take 255 bytes a name; a trial's folder is named after run, task and model.
NAME_CHARACTERS = 100


class PipelineConfig(Config):
    """One run of the whole chain; equal in shape to the flows' parameters."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=NAME_CHARACTERS)
    """Names the run, its artifacts and its rows of the results table."""
    root: str = "./runs"
    """Where artifacts are kept: a local path or any fsspec URI."""
    database: str | None = None
    """SQLAlchemy URL of the results table; null is results.db in a local root, else in ./runs."""
    corpus: CorpusConfig | None = None
    """The text to train on; null where a model that is there is evaluated."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    sequences: SequencesConfig = SequencesConfig()
    pretrain: PretrainConfig = PretrainConfig()
    publish: PublishConfig = PublishConfig()
    finetune: FinetuneConfig | None = None
    """Tasks to fine-tune and evaluate on; null stops after publishing."""
    scale: Scale = Scale()

    @property
    def database_url(self) -> str:
        return self.database or default_database(self.root)


def name_of(model: str) -> str:
    """The name of a run that evaluates a model: the last part of the model's own place or name."""
    last = re.split(r"[/:\\]", model.rstrip("/"))[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip("._-")[:NAME_CHARACTERS] or "model"


def default_database(root: str) -> str:
    """The results table of a root: beside the artifacts if they are on the local disk."""
    folder = Folder(root)
    return sqlite_url(f"{folder.path}/results.db" if folder.is_local else "runs/results.db")


def load(
    *,
    preset: str | None = None,
    file: str | None = None,
    overrides: Sequence[str] = (),
    root: str | None = None,
) -> PipelineConfig:
    """The configuration of a preset or a YAML file (any fsspec URI), changed by `PATH=VALUE`s.

    Raises ValueError, in one line, for a missing file, broken YAML, an unknown key or a bad value.
    """
    values, place = read(preset=preset, file=file, overrides=overrides, root=root)
    return validate(values, place)


def read(
    *,
    preset: str | None = None,
    file: str | None = None,
    overrides: Sequence[str] = (),
    root: str | None = None,
) -> tuple[dict[str, Any], str]:
    """What `load` validates, as the user wrote it, and the place to name in messages about it."""
    if (preset is None) == (file is None):
        raise ValueError("give either --preset NAME or --config FILE (`presets` lists the presets)")
    if preset is not None:
        place, text = f"preset {preset}", preset_text(preset)
    else:
        place, text = str(file), _read(str(file))
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    if not isinstance(values, dict):
        got = "nothing" if values is None else shown(repr(values))[:80]
        raise ValueError(f"{place}: expected keys such as name: and corpus:, got {got}")
    for override in overrides:
        _override(values, override)
    if root is not None:
        values["root"] = root
    return values, place


def validate(values: Mapping[str, Any], place: str) -> PipelineConfig:
    """The typed configuration; ValueError names each wrong key with its path, in one line."""
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{place}: {explain(error)}") from error


def to_yaml(config: PipelineConfig, *, allow_unicode: bool = True) -> str:
    """The full resolved configuration, in the order of its fields, without what opens places."""
    text: str = yaml.safe_dump(
        config.model_dump(mode="json"), sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return shown(text)


def _read(file: str) -> str:
    try:
        if "://" not in file:
            return decode_yaml(Path(file).read_bytes())
        filesystem, path = open_store(file)
        with filesystem.open(path, "rb") as stream:
            return decode_yaml(bytes(stream.read()))
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file; `presets` lists what ships with us") from error
    except IsADirectoryError as error:
        raise ValueError(f"{file}: a folder; give the YAML file in it") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    """Apply one `a.b.0.c=VALUE` in place; the value is YAML."""
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise ValueError(f"--set {override}: expected PATH=VALUE, such as pretrain.steps=1000")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"--set {override}: the value is {error}") from error
    set_value(values, path, value, f"--set {override}")


def set_value(values: dict[str, Any], path: str, value: Any, place: str) -> None:
    """Put `value` at `a.b.0.c` in place; a number in the path is a list index.

    Raises ValueError, which begins with `place`, for an index that the list does not have.
    """
    target: Any = values
    keys = path.split(".")
    for key in keys[:-1]:
        if isinstance(target, list):
            target = target[_index(target, key, place)]
        elif isinstance(target, dict):
            if not isinstance(target.get(key), dict | list):
                target[key] = {}
            target = target[key]
    if isinstance(target, list):
        target[_index(target, keys[-1], place)] = value
    else:
        target[keys[-1]] = value


def _index(target: list[Any], key: str, place: str) -> int:
    if not key.isdigit() or int(key) >= len(target):
        raise ValueError(f"{place}: {key!r} is not an index into a list of {len(target)} (from 0)")
    return int(key)


# What pydantic calls by the names of Python's types
_EXPECTED = {
    "too_short": "at least one",
    "tuple_type": "a list, such as [a, b]",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "string_type": "text",
    "union_tag_not_found": "the key type: files, hub or package",
    "union_tag_invalid": "files, hub or package as the type",
}

# pydantic puts the chosen member of a union into a path; the user's file has no such key
_UNION_MEMBERS = {"files", "hub", "package", "str", "int"}
_UNION_MEMBERS |= {"UrlFile", "PackageFile", "UserTask", "InitialModels", "one", "several"}


def explain(error: ValidationError) -> str:
    """Every problem with its path, in one line."""
    problems: list[dict[str, Any]] = [dict(problem) for problem in error.errors()]
    # A list whose items are wrong is also found too short: what is wrong with them says it all.
    told = [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(_is_inside(other["loc"], problem["loc"]) for other in problems)
    ]
    return "; ".join(_explain(problem) for problem in told)


def _is_inside(inner: Sequence[Any], outer: Sequence[Any]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _explain(problem: Mapping[str, Any]) -> str:
    *outer, last = problem["loc"] or ("",)
    is_key = problem["type"] == "extra_forbidden"  # of the user, whatever it is called
    parts = [str(part) for part in outer if part not in _UNION_MEMBERS]
    parts += [str(last)] if is_key or last not in _UNION_MEMBERS else []
    path = ".".join(parts)
    prefix = f"{path}: " if path else ""
    if is_key:
        key = str(last)
        odd = next((each for each in key if each.isspace() or not each.isprintable()), None)
        if odd is not None:
            return f"{prefix}unknown key, it holds the character U+{ord(odd):04X}; take that out"
        known = _known_keys(outer)
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"; there are {', '.join(known)}" if known else ""
        hint = f"; did you mean {close[0]}?" if close else hint
        return f"{prefix}unknown key{hint}"
    if problem["type"] == "missing":
        return f"{prefix}missing, and it has no default"
    if problem["type"] in _EXPECTED:
        message = f"expected {_EXPECTED[problem['type']]}"
    else:
        message = str(problem["msg"]).removeprefix("Value error, ").removeprefix(prefix)
    value = problem.get("ctx", {}).get("tag", problem.get("input"))
    is_plain = isinstance(value, str | int | float | bool | None)
    got = f", got {shown(repr(value))}" if is_plain and repr(value) not in message else ""
    if problem["type"] == "string_type" and isinstance(value, bool | int | float | date):
        got += f"; {_quoting(value)}"
    return f"{prefix}{message[:1].lower()}{message[1:]}{got}"


def _quoting(value: bool | int | float | date) -> str:
    """What to do where YAML has read a text as something else."""
    if isinstance(value, bool):
        written = "'yes' or 'on'" if value else "'no' or 'off'"
        return f"put it in quotes, as in {written}, which YAML may read as truth values"
    return f"put it in quotes, as in '{value}'"


def _known_keys(place: Sequence[Any]) -> list[str]:
    """The keys that are known at a place of the configuration, as pydantic's errors name it."""
    schema = PipelineConfig.model_json_schema()
    node: Any = schema
    for part in place:
        if "items" in (inner := _with_properties(node, schema)) and isinstance(part, int):
            node = inner["items"]
        elif part in inner.get("properties", {}):
            node = inner["properties"][part]
        elif part in (mapping := inner.get("discriminator", {}).get("mapping", {})):
            node = {"$ref": mapping[part]}
        elif part in schema["$defs"]:
            node = schema["$defs"][part]
    return list(_with_properties(node, schema).get("properties", {}))


def _with_properties(node: Any, schema: Any) -> Any:
    """What a node of a JSON schema stands for; of several forms, the first that has keys."""
    if "$ref" in node:
        return schema["$defs"][node["$ref"].rpartition("/")[2]]
    forms = [_with_properties(each, schema) for each in node.get("anyOf", ())]
    return next((form for form in forms if form.keys() & {"properties", "items"}), node)
