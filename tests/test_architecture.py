"""The structure of the library: which folder may import which, and how large each part may be.

The modules are parsed, not imported, so imports inside functions and under TYPE_CHECKING count too.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "electra_pipeline"

# Each part may import itself and the parts of the layers before its own. The parts of one layer
# never import each other: what passes between stages is an artifact.
LAYERS = (
    {"core"},
    {"storage"},
    {"text"},
    {"inputs"},
    {"tasks"},
    {"results"},
    {"corpus", "tokenizer", "pretraining", "finetuning", "publishing", "serving"},
    {"presets"},
    {"config"},
    {"stages"},
    {"workflows"},
    {"on_ray"},
    {"flows"},
    {"cli"},
)
LAYER_OF = {part: number for number, layer in enumerate(LAYERS) for part in layer}
# Narrower than its layer: the executor takes any function and knows no stage.
ONLY = {"on_ray": {"core", "storage"}, "presets": set()}
# Where alone a package may be imported.
CONFINED = {"ray": "on_ray", "prefect": "flows"}
TOP_LEVEL_MODULES = {"__init__", "config", "stages"}

MAX_FOLDER_SHARE = 0.2
MAX_FILE_LINES = 330
MAX_PARAMETERS = 7

FILES = sorted([*LIBRARY.rglob("*.py"), *(ROOT / "flows").rglob("*.py")])


def part_of(module: str) -> str:
    """Return the part of the layout that has a module: a folder, or a module of the top level."""
    first, _, rest = module.partition(".")
    return rest.split(".")[0] if first == LIBRARY.name else first


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and full name of each imported module.

    `from package import name` yields `package.name`: the name may be a module, and for the part
    that it belongs to it does not matter if it is none.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_name(file).split(".")
                removed = node.level - (file.name == "__init__.py")
                package = package[: len(package) - removed]
                base = ".".join([*package, base] if base else package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def find_import_violations(file: Path) -> Iterator[str]:
    part = part_of(module_name(file))
    for line, module in imported_modules(file):
        package = module.split(".")[0]
        where = f"{file.relative_to(ROOT)}:{line}: imports {module}"
        if package in CONFINED and part != CONFINED[package]:
            yield f"{where}; only {CONFINED[package]} may import {package}"
        if package not in (LIBRARY.name, "flows"):
            continue
        target = part_of(module)
        if target == part:
            continue
        if target not in LAYER_OF:
            yield f"{where}, which is in no layer"
        elif part not in LAYER_OF or LAYER_OF[target] >= LAYER_OF[part]:
            yield f"{where}; {part or LIBRARY.name} may not import {target}"
        elif part in ONLY and target not in ONLY[part]:
            yield f"{where}; {part} imports only {sorted(ONLY[part])}"


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    """Return the names of a function's parameters, without the instance or class of a method."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    if names[:1] in (["self"], ["cls"]):
        names.pop(0)
    names += [each.arg for each in given.kwonlyargs]
    return names + [each.arg for each in (given.vararg, given.kwarg) if each]


def lines_by_folder() -> Counter[str]:
    found: Counter[str] = Counter()
    for file in LIBRARY.rglob("*.py"):
        found[part_of(module_name(file))] += len(file.read_text().splitlines())
    return found


def test_imports_follow_the_layers():
    violations = [line for file in FILES for line in find_import_violations(file)]
    assert not violations, "\n" + "\n".join(violations)


def test_the_top_level_has_only_the_modules_of_the_layout():
    assert {file.stem for file in LIBRARY.glob("*.py")} == TOP_LEVEL_MODULES
    folders = {folder.parent.name for folder in LIBRARY.glob("*/__init__.py")}
    assert folders | TOP_LEVEL_MODULES - {"__init__"} | {"flows"} == set(LAYER_OF)


def test_no_folder_has_more_than_a_fifth_of_the_lines():
    found = lines_by_folder()
    limit = MAX_FOLDER_SHARE * found.total()
    too_large = {part: lines for part, lines in found.items() if lines > limit}
    assert not too_large, f"of {found.total()} lines, {limit:.0f} are allowed"


def test_no_file_is_too_long():
    lines = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_has_too_many_parameters():
    too_many = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {len(parameters(node))} parameters"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and len(parameters(node)) > MAX_PARAMETERS
    ]
    assert not too_many, "\n" + "\n".join(too_many)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("electra_pipeline/core/x.py", "from electra_pipeline import corpus"),
        ("electra_pipeline/corpus/x.py", "import electra_pipeline.tokenizer.train"),
        ("electra_pipeline/corpus/dedup/x.py", "from ...publishing import card"),
        ("electra_pipeline/on_ray/x.py", "from electra_pipeline.tasks.task import Task"),
        ("electra_pipeline/workflows/x.py", "def f():\n    import ray.train"),
        ("electra_pipeline/cli/x.py", "from prefect.states import State"),
        ("electra_pipeline/stages.py", "from flows.electra import electra"),
        ("flows/x.py", "from electra_pipeline.cli.app import main"),
        ("electra_pipeline/__init__.py", "from electra_pipeline.core import identity"),
        ("electra_pipeline/cli/x.py", "from electra_pipeline.evaluation import trial"),
    ],
)
def test_a_forbidden_import_is_found(source, message, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / source
    file.parent.mkdir(parents=True)
    file.write_text(message)
    (violation,) = find_import_violations(file)
    assert violation.startswith(source)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("electra_pipeline/corpus/dedup/x.py", "from ..sources import web"),
        ("electra_pipeline/on_ray/x.py", "import ray\nfrom electra_pipeline.storage import uri"),
        ("flows/x.py", "import prefect\nfrom electra_pipeline.on_ray import cluster"),
        (
            "electra_pipeline/cli/x.py",
            "from flows import health\nfrom electra_pipeline import stages",
        ),
        ("electra_pipeline/serving/__init__.py", "from . import lines\nimport raylib"),
    ],
)
def test_an_allowed_import_is_accepted(source, content, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / source
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert list(find_import_violations(file)) == []
