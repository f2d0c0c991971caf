"""The configuration of a run, and how it is read: preset, file, `--set`."""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from electra_pipeline.core.execution import Executor, LocalExecutor, Scale, StageContext
from electra_pipeline.core.identity import Config
from electra_pipeline.core.progress import Progress, silent
from electra_pipeline.core.yaml_text import decode_yaml, parse_yaml
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.presets import preset_text
from electra_pipeline.pretraining.config import PretrainConfig, SequencesConfig
from electra_pipeline.publishing.huggingface import PublishConfig
from electra_pipeline.storage.stores import open_store
from electra_pipeline.storage.uri import redacted
from electra_pipeline.tokenizer.config import TokenizerConfig

# File systems take 255 bytes a name; a trial's folder is named after run, task and model.
NAME_CHARACTERS = 100

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Keys of earlier versions, by path, and the key that each is called now.
RENAMED_KEYS = {
    "scale.cpus_per_leg": "cpus_per_trial",
    "scale.gpus_per_leg": "gpus_per_trial",
}


class PipelineConfig(Config):
    """A run of the whole chain; equal in shape to the flows' parameters."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=NAME_CHARACTERS)
    """Name of the run, of its artifacts and of its rows in the results table."""
    root: str = "./runs"
    """Folder of all artifacts: a local path or any fsspec URI."""
    database: str | None = None
    """SQLAlchemy URL of the results table; null is results.db in a local root, else in ./runs."""
    corpus: CorpusConfig | None = None
    """The text to train on; null where an existing model is evaluated."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """How the vocabulary is trained, or the tokenizer that is taken over."""
    sequences: SequencesConfig = SequencesConfig()
    """Length and layout of the token sequences for pre-training."""
    pretrain: PretrainConfig = PretrainConfig()
    """Model, objective and optimizer of the pre-training."""
    publish: PublishConfig = PublishConfig()
    """Model cards and hub name of the published model."""
    finetune: FinetuneConfig | None = None
    """Tasks to fine-tune and evaluate on; null stops after publishing."""
    scale: Scale = Scale()
    """Workers, precision, checkpoints and time limits: speed, and results by rounding alone."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed_keys(cls, values: Any) -> Any:
        """Name the new key, in files and in the parameters of flows alike."""
        for path, new in RENAMED_KEYS.items():
            section, key = path.split(".")
            given = values.get(section) if isinstance(values, Mapping) else None
            if isinstance(given, Mapping) and key in given:
                raise ValueError(f"{path}: renamed to {new}")
        return values

    @property
    def database_url(self) -> str:
        from electra_pipeline.results.database import default_database  # imports SQLAlchemy

        return self.database or default_database(self.root)

    def context(
        self, executor: Executor | None = None, progress: Progress = silent
    ) -> StageContext:
        """Return where and how the run's stages work; without an executor, in this process."""
        return StageContext(self.root, self.name, executor or LocalExecutor(), progress)


def name_of(model: str) -> str:
    """Return the name of a run that evaluates a model: the last part of its path, URI or name."""
    last = re.split(r"[/:\\]", model.rstrip("/"))[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).lstrip("._-")[:NAME_CHARACTERS] or "model"


def load(
    *,
    preset: str | None = None,
    file: str | None = None,
    overrides: Sequence[str] = (),
    root: str | None = None,
    database: str | None = None,
) -> PipelineConfig:
    """Load the configuration of a preset or a YAML file (any fsspec URI) and apply `PATH=VALUE`s.

    Raises ValueError, in one line, for a missing file, broken YAML, an unknown key or a bad value.
    """
    values, origin = read(
        preset=preset, file=file, overrides=overrides, root=root, database=database
    )
    return validate(values, origin)


def read(
    *,
    preset: str | None = None,
    file: str | None = None,
    overrides: Sequence[str] = (),
    root: str | None = None,
    database: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Return the values that `load` validates, and their origin for messages: preset or file."""
    if (preset is None) == (file is None):
        raise ValueError("give either --preset NAME or --config FILE (`presets` lists the presets)")
    if preset is not None:
        origin, text = f"preset {preset}", preset_text(preset)
    else:
        origin, text = str(file), _read(str(file))
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from error
    if not isinstance(values, dict):
        got = "nothing" if values is None else redacted(repr(values))[:80]
        raise ValueError(f"{origin}: expected keys such as name: and corpus:, got {got}")
    for override in overrides:
        _override(values, override)
    given = {"root": root, "database": database}
    return values | {key: value for key, value in given.items() if value is not None}, origin


def validate(values: Mapping[str, Any], origin: str) -> PipelineConfig:
    """Return the typed configuration; ValueError names the path of each invalid key in one line."""
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{origin}: {explain(error)}") from error


def to_yaml(config: PipelineConfig, *, allow_unicode: bool = True) -> str:
    """Return the full resolved configuration as YAML, in the order of its fields, no passwords."""
    text: str = yaml.safe_dump(
        config.model_dump(mode="json"), sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return redacted(text)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, with titles and descriptions for editors."""
    return {"$schema": SCHEMA_DIALECT, **PipelineConfig.model_json_schema()}


def _read(file: str) -> str:
    try:
        if "://" not in file:
            return decode_yaml(Path(file).read_bytes())
        filesystem, path = open_store(file)
        with filesystem.open(path, "rb") as stream:
            return decode_yaml(bytes(stream.read()))
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file; `presets` lists the included ones") from error
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


def set_value(values: dict[str, Any], path: str, value: Any, origin: str) -> None:
    """Set `a.b.0.c` to `value` in place; a number in the path is a list index.

    Raises ValueError, which begins with `origin`, for an index that the list does not have.
    """
    target: Any = values
    keys = path.split(".")
    for key in keys[:-1]:
        if isinstance(target, list):
            target = target[_index(target, key, origin)]
        elif isinstance(target, dict):
            if not isinstance(target.get(key), dict | list):
                target[key] = {}
            target = target[key]
    if isinstance(target, list):
        target[_index(target, keys[-1], origin)] = value
    else:
        target[keys[-1]] = value


def _index(target: list[Any], key: str, origin: str) -> int:
    if not key.isdigit() or int(key) >= len(target):
        raise ValueError(f"{origin}: {key!r} is not an index into a list of {len(target)} (from 0)")
    return int(key)


# For errors in which pydantic names Python types
_EXPECTED = {
    "too_short": "at least one",
    "tuple_type": "a list, such as [a, b]",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "string_type": "text",
    "union_tag_not_found": "the key type: files, hub or package",
    "union_tag_invalid": "files, hub or package as the type",
}

# pydantic adds the chosen member of a union to a path; the user's file has no such key
_UNION_MEMBERS = {"files", "hub", "package", "str", "int"}
_UNION_MEMBERS |= {"UrlFile", "PackageFile", "UserTask", "InitialModels", "one", "several"}


def explain(error: ValidationError) -> str:
    """Return every problem with its path, in one line."""
    problems: list[dict[str, Any]] = [dict(problem) for problem in error.errors()]
    # pydantic also reports a list with invalid items as too short: the items' errors are enough.
    reported = [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(_is_inside(other["loc"], problem["loc"]) for other in problems)
    ]
    return "; ".join(_explain(problem) for problem in reported)


def _is_inside(inner: Sequence[Any], outer: Sequence[Any]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _explain(problem: Mapping[str, Any]) -> str:
    *outer, last = problem["loc"] or ("",)
    is_key = problem["type"] == "extra_forbidden"  # a key of the user's, of any name
    parts = [str(part) for part in outer if part not in _UNION_MEMBERS]
    parts += [str(last)] if is_key or last not in _UNION_MEMBERS else []
    path = ".".join(parts)
    prefix = f"{path}: " if path else ""
    if is_key:
        key = str(last)
        odd = next((each for each in key if each.isspace() or not each.isprintable()), None)
        if odd is not None:
            return f"{prefix}unknown key, it contains the character U+{ord(odd):04X}; remove it"
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
    got = f", got {redacted(repr(value))}" if is_plain and repr(value) not in message else ""
    if problem["type"] == "string_type" and isinstance(value, bool | int | float | date):
        got += f"; {_quoting(value)}"
    return f"{prefix}{message[:1].lower()}{message[1:]}{got}"


def _quoting(value: bool | int | float | date) -> str:
    """Return the remedy where YAML has read a text as another type."""
    if isinstance(value, bool):
        written = "'yes' or 'on'" if value else "'no' or 'off'"
        return f"put it in quotes, as in {written}, which YAML may read as truth values"
    return f"put it in quotes, as in '{value}'"


def _known_keys(path: Sequence[Any]) -> list[str]:
    """Return the valid keys at a path of the configuration, as in pydantic's errors."""
    schema = PipelineConfig.model_json_schema()
    node: Any = schema
    for part in path:
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
    """Resolve a reference in a JSON schema; of several forms, return the first that has keys."""
    if "$ref" in node:
        return schema["$defs"][node["$ref"].rpartition("/")[2]]
    forms = [_with_properties(each, schema) for each in node.get("anyOf", ())]
    return next((form for form in forms if form.keys() & {"properties", "items"}), node)
