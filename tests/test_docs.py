"""README, docs/, examples and the other documents agree with the code, and their links resolve."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from electra_pipeline.cli.app import app
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.yaml_text import parse_yaml
from tests.documents import (
    DOCUMENTS,
    GENERATED,
    ROOT,
    anchors,
    blocks,
    generator,
    inline_code,
    links,
    name_of,
    num_lines,
    paragraphs,
    shell_commands,
)

LIBRARY = ROOT / "electra_pipeline"
MAX_README_LINES = 180
MAX_PARAGRAPH_LINES = 6
PROGRAM = "electra-pipeline"
SECTIONS = {"corpus", "tokenizer", "sequences", "pretrain", "publish", "finetune", "scale"}
# Old names, in the changelog's table of what was renamed
RENAMED = {"scale.cpus_per_leg", "scale.gpus_per_leg", "corpus.quality"}

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


@cache
def commands() -> dict[str, Any]:
    group: Any = get_command(app)
    return dict(group.commands)


@cache
def schema() -> dict[str, Any]:
    return PipelineConfig.model_json_schema()


@cache
def make_targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    heads = [line.partition(":")[0] for line in lines if ":" in line and line[:1].isalpha()]
    return {target for head in heads for target in head.split() if "=" not in head}


def uses_of(program: str, path: Path) -> Iterator[list[str]]:
    """Yield the arguments of each command of `program` in the document's `sh` blocks."""
    for words in shell_commands(path.read_text()):
        if program in words[:1]:
            yield words[1:]


def has_key(path: str) -> bool:
    """Whether a configuration can have a value at `a.b.0.c`."""
    nodes: list[Any] = [schema()]
    for key in path.split("."):
        nodes = [inner for node in nodes for inner in _below(node, key)]
    return bool(nodes)


def _below(node: Any, key: str) -> Iterator[Any]:
    """Yield the schemas of a key in a value that has the schema `node`."""
    if "$ref" in node:
        yield from _below(schema()["$defs"][node["$ref"].rpartition("/")[2]], key)
    for form in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _below(form, key)
    if key in node.get("properties", {}):
        yield node["properties"][key]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]
    elif "items" in node and key.isdigit():
        yield node["items"]


@each_document
def test_commands_parse(path: Path):
    """Each command in a shell block has an existing name and valid options and arguments."""
    for name, *arguments in uses_of(PROGRAM, path):
        commands()[name].make_context(name, [each for each in arguments if each != "--debug"])


@each_document
def test_commands_in_sentences_exist(path: Path):
    for words in map(str.split, inline_code(path.read_text())):
        if words[0] != PROGRAM or len(words) == 1 or words[1].isupper():
            continue
        options = {name for each in commands()[words[1]].params for name in each.opts}
        given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
        assert given - {"--help", "--debug"} <= options, words


@each_document
def test_make_targets_exist(path: Path):
    text = path.read_text()
    mentioned = map(str.split, inline_code(text))
    given = [words[1] for words in mentioned if words[0] == "make" and len(words) > 1]
    given += [words[0] for words in uses_of("make", path)]
    assert set(given) <= make_targets()


@each_document
def test_configurations_are_valid(path: Path):
    """Each YAML block is a configuration, or a part of one."""
    for block in blocks(path.read_text()):
        if block.language == "yaml":
            PipelineConfig.model_validate({"name": "part", **parse_yaml(block.code)})


@each_document
def test_keys_exist(path: Path):
    """Keys after --set and --vary, and keys in sentences, exist in the configuration."""
    given = []
    for words in uses_of(PROGRAM, path):
        given += [value for option, value in pairwise(words) if option in ("--set", "--vary")]
    for code in inline_code(path.read_text()):
        key = code.split("=")[0].split(":")[0]
        if key.split(".")[0] in SECTIONS and "." in key and key.replace(".", "").isidentifier():
            given.append(key)
    keys = {each.partition("=")[0] for each in given} - RENAMED
    modules = {key for key in keys if any(ROOT.glob(f"electra_pipeline/{key.replace('.', '/')}*"))}
    files = {key for key in keys if key.endswith((".py", ".html", ".db", ".json"))}
    assert not [key for key in sorted(keys - modules - files) if not has_key(key)]


@each_document
def test_named_files_exist(path: Path):
    """Paths in sentences that begin with a folder of the repository or of the library exist."""
    for code in inline_code(path.read_text()):
        name = code.split()[0].partition(":")[0]
        first, slash, _ = name.partition("/")
        homes = [home for home in (ROOT, LIBRARY) if first.strip(".") and (home / first).is_dir()]
        if slash and homes and (name.endswith("/") or Path(name).suffix):
            assert any((home / name).exists() for home in homes), name


def test_tree_of_the_architecture_exists():
    """Each entry of the tree exists below its parent; files and folders are one a line."""
    tree = next(each.code for each in blocks((ROOT / "docs/architecture.md").read_text()))
    parents: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        if depth <= len(parents):
            parents = [*parents[:depth], name]
            assert (ROOT / "/".join(parents)).exists(), "/".join(parents)


@each_document
def test_links_resolve(path: Path):
    for link in links(path.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@each_document
def test_paragraphs_are_short(path: Path):
    long = [each for each in paragraphs(path.read_text()) if num_lines(each) > MAX_PARAGRAPH_LINES]
    assert not long


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_generated_pages_are_current():
    expected = generator().pages()
    found = {path.name: path.read_text("utf-8") for path in GENERATED.iterdir()}
    assert found == expected, "run python docs/generate.py"


@pytest.mark.integration
def test_site_builds_without_warnings(tmp_path: Path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
