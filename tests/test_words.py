"""The public surface uses the words of docs/glossary.md, and not those that they replace.

The surface is what a user reads without opening the code: help texts, descriptions of configuration
keys, documents, templates of cards and reports, presets, deployment files, messages of errors and
log lines.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from electra_pipeline.config import PipelineConfig
from tests.documents import DOCUMENTS, ROOT, generator, name_of

# Each pattern with the words to use instead.
REPLACED = {
    r"\blegs?\b": "trial",
    r"\bpieces?\b": "partition, shard, token, subsequence or part",
    r"\bplaces?\b": "URI, path, directory or position",
    r"\bgo(es|ne)? on\b|\bwent on\b": "resume or continue",
    r"(?<!there )\bis no\b(?! (better|longer|more)\b)": "invalid: expected X, got Y; or is not",
    r"\b(already|there) known\b|\bknown already\b": "reused, cached or found",
    r"\b(is|are|was|were) there\b(?! (a|an|is|are)\b)|\bthere already\b": "exists",
    r"\btold\b|\btells?\b|\bhears?\b|\bheard\b": "report, receive, raise, identify",
    r"\bsays?\b": "the value itself; state, set",
    r"\bmarks?\b": "features; set to",
    r"\b(a|its|the|their|what|equal|whole|busy|least|greatest|largest) shares?\b": "resources, "
    "fraction",
    r"\bshares? of\b": "resources, fraction of",
    r"\bhistory\b": "learning curve, training log",
    r"\b(lies|lie|lay|stands|stood)\b": "is, is stored",
    r"\bwhoever\b|\bwhat is left\b|\bof one mind\b|\bway in\b|\bnobody\b": "a plain statement",
    r"\bours\b|\bof ours\b|\bus\b": "of this package",
    r"\bfacts?\b": "metrics, values",
    r"\blosse?s? no\b|\bmend(ed|s)?\b": "correct",
    r"\brandom starts?\b|\bstarts? \(pretrained\b": "init",
    r"\bknows?\b(?! each other)|\bknew\b": "the value itself; contain, support",
    r"\bg[ai]ves? back\b": "return",
    r"\bguess(es|ed)?\b": "prediction, baseline",
    r"\blost (its|node|worker|driver)s?\b|\b(node|worker|driver|lease)s? (is|are|was|were) lost\b"
    r"|\bloses? an? (node|worker|driver)\b": "failed; lost is for data",
}

# Uses of these words that are right, each with its reason.
ALLOWED = {
    r"\bin (one )?place\b": "standard terms: change in place, defined in one place",
    r"`history`": "the old name in the table of renamed commands",
    r"`leg`|_per_leg\b|`\.leg`": "the old name in the table of renamed columns and keys",
    r"corpus-pieces|corpus_pieces": "the name of a directory on disk",
    r"`[^`\n]*\.(pieces|marks|places)`[^|\n]*": "old names in the table of renamed modules",
    r"`corpus\.quality`[^|\n]*": "old names in the table of renamed modules",
    r"\b(WordPieces?|SentencePieces?|word pieces?)\b": "names of algorithms",
    r"\b(byte order|combining|vowel) marks?\b": "characters",
    r"\b(punctuation|question|quotation|sentence) marks?\b": "characters",
    r"\bmarks? (a|the|it|containers)\b[^.]* as\b": "a verb, as in: mark a run as crashed",
    r"\bMark(down|upSafe|up)\b": "names of formats",
    r"""replace\("piece", "token"\)""": "replaces the old word in keys of counters",
}


LOGGING = {"debug", "info", "warning", "error", "exception", "critical", "log", "warn", "report"}


def texts() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each part of the public surface."""
    for path in DOCUMENTS:
        if path.is_relative_to(ROOT / "docs/reference"):
            continue  # the same texts as the command line and the schema below
        if path == ROOT / "benchmarks/LOG.md":
            continue  # a dated record
        yield name_of(path), path.read_text()
    yield "command line", generator().cli_page()
    yield "configuration", "\n".join(_descriptions(PipelineConfig.model_json_schema()))
    for path in sorted(ROOT.glob("electra_pipeline/**/*.jinja")):
        yield name_of(path), path.read_text()
    for path in sorted(ROOT.glob("electra_pipeline/presets/*.yaml")):
        yield name_of(path), path.read_text()
    yield "prefect.yaml", (ROOT / "prefect.yaml").read_text()
    automations = yaml.safe_load((ROOT / "infra/automations.yaml").read_text())
    yield "infra/automations.yaml", yaml.safe_dump(automations)
    for package in ("electra_pipeline", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if text := "\n".join(_messages(ast.parse(path.read_text()))):
                yield f"messages of {name_of(path)}", text


def _descriptions(node: Any) -> Iterator[str]:
    """Yield each key of a JSON schema's properties, and each description."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            yield node["description"]
        if isinstance(node.get("properties"), dict):
            yield from node["properties"]
        for value in node.values():
            yield from _descriptions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(value)


def _messages(tree: ast.AST) -> Iterator[str]:
    """Yield each literal text of the errors that are raised and of the lines that are logged."""
    keys = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for node in ast.walk(tree):
        is_logged = isinstance(node, ast.Call) and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in LOGGING)
            or (isinstance(node.func, ast.Name) and node.func.id.endswith("Error"))
        )
        if is_logged or isinstance(node, ast.Raise):
            for part in ast.walk(node):
                is_text = isinstance(part, ast.Constant) and isinstance(part.value, str)
                if is_text and id(part) not in keys:
                    yield str(part.value)


def replaced_words(text: str) -> list[str]:
    """Return each use of a replaced word with its surroundings and the words to use instead."""
    for pattern in ALLOWED:
        text = re.sub(pattern, "", text, flags=re.I)
    found = []
    for pattern, instead in REPLACED.items():
        for match in re.finditer(pattern, text, re.I):
            if match[0] == "US":
                continue
            around = text[max(0, match.start() - 40) : match.end() + 40].replace("\n", " ")
            found.append(f"{match[0]!r} in {around!r}: use {instead}")
    return found


SURFACE = dict(texts())


@pytest.mark.parametrize("name", SURFACE)
def test_no_replaced_words(name: str):
    assert not replaced_words(SURFACE[name])


def test_replaced_words_are_found():
    """The patterns find what they are for, so that a quiet test means clean texts."""
    text = "A leg goes on. The place of a piece is there already; it is told its share of the CPUs."
    found = " ".join(replaced_words(text))
    for word in ("leg", "goes on", "place", "piece", "is there", "told", "share of"):
        assert repr(word) in found
    assert not replaced_words("A WordPiece tokenizer keeps `corpus-pieces`, edited in place.")
