"""Parse YAML 1.2, with duplicate keys as errors.

PyYAML parses YAML 1.1, where `no`, `on` and `off` are booleans (and `language: no` is not
Norwegian), `5e-4` is text, `12:30` is 750 and `010` is 8, and the last of two equal keys counts.
"""

import re
from typing import Any, ClassVar

import yaml

from electra_pipeline.core.errors import one_line


class _Loader(yaml.SafeLoader):
    """Loads plain values only, never objects that run code."""

    # YAML 1.2.2, 10.3.2, with 1_000 as a number too; a number with leading zeros is text
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(
                    f"line {line}: the key {key.value!r} is already in line {lines[key.value]};"
                    " remove one of them"
                )
            lines[key.value] = line
        return node


for _tag, _pattern, _first in (
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+)", list("-+0123456789")),
    (
        "float",  # a longer exponent belongs to a digest
        r"[-+]?(([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]{1,3}"
        r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first
    )


# By a part of PyYAML's message
REMEDIES = {
    r"'\t'": "; indent with spaces, not tabs",
    "unknown escape": "; put a path with backslashes in single quotes",
    "scanning an alias": "; put a pattern that begins with * in quotes",
    "cannot start any token": "; put a text that begins with this character in quotes",
}


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text. Raises ValueError, in one line, with line and column."""
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {_reason(error)}") from error
    except RecursionError as error:
        raise ValueError("not valid YAML: nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def decode_yaml(data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark. Raises ValueError."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line}: not valid {encoding.removesuffix('-sig')}; save it as UTF-8"
        ) from error


def _reason(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return one_line(error)
    mark = error.problem_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    remedy = next((remedy for part, remedy in REMEDIES.items() if part in problem), "")
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{remedy}"
