"""Roots with characters that have a meaning in patterns, URLs and shells."""

import ast
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import electra_pipeline
from electra_pipeline.inputs import locations
from electra_pipeline.results import store
from electra_pipeline.results.database import default_database
from electra_pipeline.storage import gc, inventory
from electra_pipeline.storage.artifact import (
    Artifact,
    Draft,
    Written,
    find_artifacts,
    open_artifact,
    produce,
    verify,
)
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.permissions import check_writable
from electra_pipeline.storage.stores import keeps_names, open_store, remove_files
from electra_pipeline.storage.uri import absolute_uri
from electra_pipeline.workflows.retention import RETENTION_RULES

ODD = "?*[]{}#%&=+@:;,!$'\"\\|<>^~` -.a1ü中\u0301\u200d"
NAMES = ["q?x", "v[1]", "proj [v2]", "a*", "**", "{a,b}", "a::b", "#1", "50%", "%3F", "-rf", "~"]
NAMES += ["a b ", "ü 中", "zip::x", "q?versionIdx=1", "[!a]", "[[]", "x" * 200, "&amp;", "a\\b"]
odd_names = st.one_of(
    st.sampled_from(NAMES), st.text(ODD, min_size=1, max_size=12), st.text(max_size=20)
).filter(lambda name: "/" not in name and name.strip(".") and not name.startswith("."))


def usable(root: str) -> bool:
    """Whether a root is taken; one that is not is refused in one line."""
    try:
        Folder(root).path  # noqa: B018
    except ValueError as error:
        assert "\n" not in str(error)
        return False
    return True


def make(root: str, number: int) -> Artifact:
    def write(draft: Draft) -> Written:
        draft.work.write_bytes("half", b"y")
        draft.folder.write_bytes("model/weights", b"x" * 100)
        return Written({}, {})

    return produce(
        root=root,
        stage="corpus",
        name="a",
        format_version=1,
        config={"number": number},
        inputs={},
        write=write,
    )


def contents(root: str) -> dict[str, bytes]:
    folder = Folder(root)
    return {name: folder.read_bytes(name) for name in folder.files()}


def use(root: str) -> None:
    """Write, list, verify, clean up and record in a root; check that it contains nothing else."""
    check_writable(Folder(root))
    old, newer = make(root, 1), make(root, 2)
    assert find_artifacts(root) == sorted([old, newer], key=lambda each: each.folder.uri)
    assert find_artifacts(root, "corpus") == find_artifacts(root)
    assert make(root, 2) == newer == open_artifact(newer.folder)
    assert [line for each in (old, newer) for line in verify(each)] == []
    assert newer.local_file("model/weights").read_bytes() == b"x" * 100
    assert (newer.local_folder("model") / "weights").read_bytes() == b"x" * 100
    [item] = gc.plan(root, RETENTION_RULES, keep_last=1).deleted
    inventory.delete(item)
    [left] = find_artifacts(root)
    assert {left.fingerprint, item.fingerprint} == {old.fingerprint, newer.fingerprint}
    assert verify(left) == []
    assert gc.plan(root, RETENTION_RULES).deleted == []
    if Folder(root).is_local:
        record(root)
        assert Path(Folder(root).path, "results.db").is_file()


def record(root: str) -> None:
    row = {"attempt": "1", "run": "a", "stage": "corpus", "wall_seconds": 1.0}
    row |= {"cpu_seconds": 1.0, "gpu_seconds": 0.0, "started_at": datetime.now(UTC).isoformat()}
    store.record_costs(default_database(root), [row])
    assert [each["run"] for each in store.read_costs(default_database(root))] == ["a"]


def check(parent: str, name: str) -> None:
    """Check that a root of this name works, and that folders it would match as a pattern remain."""
    root = f"{parent}/{name}"
    if not usable(root):
        return
    siblings = {name.translate(str.maketrans(dict.fromkeys("?*[]{}", each))) for each in ("a", "")}
    for sibling in siblings - {name, "", ".", ".."}:
        if usable(f"{parent}/{sibling}"):
            make(f"{parent}/{sibling}", 1)
    make(f"{parent}/other", 1)
    before = contents(parent)
    use(root)
    Folder(root).remove()
    assert Folder(root).files() == []  # SeaweedFS keeps the folder
    assert contents(parent) == before


@contextmanager
def local_folder() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="names-")
    yield path
    shutil.rmtree(path)


@contextmanager
def memory_folder() -> Iterator[str]:
    root = f"memory://{uuid.uuid4().hex}"
    yield root
    Folder(root).remove()


@pytest.mark.parametrize("parent", [local_folder, memory_folder])
@given(name=odd_names)
@settings(max_examples=60)
@example(name="q?x")
@example(name="proj [v2]")
@example(name="a::b")
@example(name="50%3Fx")
def test_names_are_literal(parent: Callable[[], Iterator[str]], name: str) -> None:
    with parent() as folder:  # type: ignore[attr-defined]
        check(folder, name)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_literal_in_a_store(s3_root: str, name: str) -> None:
    check(s3_root, name)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("runs\n1", "line break"),
        ("runs\x00", "control character"),
        ("runs\udcff", "not UTF-8"),
        ("", "empty"),
        ("s3://", "names no folder"),
        ("s3://bucket/a/../b", r"component '\.\.'"),
        ("s3://bucket/a//b", "component ''"),
        ("s3://bucket/a\\b", "component"),
        ("s3://bucket/a?versionId=", "reads what follows the"),
        ("s3://bucket/a?b=c", "contains a password or a token"),
        ("memory://a::b", "does not allow ::"),
    ],
)
def test_invalid_folder_names_are_refused(root: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        _ = Folder(root).path
    assert "\n" not in str(raised.value)


def test_an_object_that_cannot_be_removed_is_an_error() -> None:
    class Store:
        def split_path(self, path: str) -> list[str]:
            return path.split("/", 1)

        def call_s3(self, method: str, **options: Any) -> dict[str, Any]:
            keys = [each["Key"] for each in options["Delete"]["Objects"]]
            assert (method, options["Bucket"], len(keys) <= 1000) == ("delete_objects", "b", True)
            failed = [{"Key": key, "Message": "Access Denied"} for key in keys if key == "1500"]
            return {"Errors": failed} if failed else {}

    with pytest.raises(OSError, match=r"b/1500: not removed \(Access Denied\)"):
        remove_files(Store(), (f"b/{n}" for n in range(2000)))
    remove_files(Store(), ())


def test_a_driver_that_parses_queries_is_detected() -> None:
    assert not keeps_names(None, "sftp://host/a?b/c", "/a")
    assert keeps_names(None, "sftp://host/a/c", "/a/c")
    assert keeps_names(None, "zip://a?b::archive.zip", "a?b")


def test_a_root_without_a_folder_of_its_own() -> None:
    assert (Folder("memory://") / "x").uri == "memory://x"
    assert (Folder("file:///") / "x").uri == "/x"
    assert Folder("file:///a?b/").uri == "/a?b"


def test_chains_are_opened(tmp_path: Path) -> None:
    archive = tmp_path / "a::b"
    archive.mkdir()
    (archive / "model?").mkdir()
    (archive / "model?" / "config.json").write_text("{}")
    packed = shutil.make_archive(str(tmp_path / "models"), "zip", archive)
    folder = Folder(f"zip://model?::{packed}")
    assert folder.files() == ["config.json"]
    assert Folder(str(archive)).files() == ["model?/config.json"]


def test_objects_with_invalid_folder_names_are_ignored() -> None:
    root = f"memory://{uuid.uuid4().hex}"
    made = make(root, 1)
    store = fsspec.filesystem("memory")
    for name in ("corpus/a\nb/manifest.json", "../x-012345678901/y", ".x.01234567.tmp"):
        store.pipe(f"{Folder(root).path}/{name}", b"{")
    assert find_artifacts(root) == [made]
    assert gc.plan(root, RETENTION_RULES).deleted == []
    assert len(gc.plan(root, RETENTION_RULES).kept) == 1


@pytest.mark.parametrize("place", ["~x/runs", "./~", "~", "./-rf", "runs/"])
def test_a_leading_tilde_is_the_home_directory(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    right = "/home/me" if place == "~" else f"{tmp_path}/{place.removeprefix('./').rstrip('/')}"
    assert Folder(place).path == right
    assert Folder(f"file:{place}").path == right
    assert absolute_uri(place).rstrip("/") == absolute_uri(f"file:{place}").rstrip("/") == right


def test_local_uris_are_resolved_in_the_same_way_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (
        "x::y",
        "file:x::y",
        f"file://localhost{tmp_path}/x::y",
        f"local:{tmp_path}/x::y",
    ):
        assert Folder(place).path == open_store(place)[1] == f"{tmp_path}/x::y"
        assert locations.resolve(place)[1] == absolute_uri(place) == f"{tmp_path}/x::y"
    assert open_store("file://localhost/x")[1] == "/x"
    assert open_store("file://localhost.d/x")[1] == f"{tmp_path}/localhost.d/x"
    assert absolute_uri("zip://a::b.zip") == f"zip://a::{tmp_path}/b.zip"


@pytest.mark.parametrize("place", ["s3:/bucket/runs", "gs:/bucket", "S3:/bucket", "hf:/a"])
def test_a_protocol_with_one_slash_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match=r"one slash follows \w+:.*; write"):
        Folder(place)
    assert Folder(f"./{place}").is_local and Folder("C:/runs").is_local


def test_a_root_too_long_for_the_names_in_it_is_refused(tmp_path: Path) -> None:
    for root in (f"{tmp_path}/{'x/' * 2000}", f"memory://{'x' * 700}"):
        with pytest.raises(ValueError, match="leave room for the names of artifacts"):
            check_writable(Folder(root))
    with pytest.raises(ValueError, match="cannot be written"):
        check_writable(Folder(f"{tmp_path}/{'x' * 256}"))


PATTERNED = {"glob", "rm", "cat", "get", "put", "copy", "cp", "mv", "move", "delete", "expand_path"}
PATTERNED |= {"download", "upload", "rename", "cat_ranges", "url_to_fs", "open_files"}


def test_fsspec_is_opened_only_in_stores() -> None:
    """No other module names fsspec's calls that take a path for a pattern.

    `inputs` may: there a user's pattern is one.
    """
    package = Path(electra_pipeline.__file__).parent
    doors = {package / "storage" / "stores.py", *(package / "inputs").glob("*.py")}
    for path in {*package.rglob("*.py")} - doors:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in PATTERNED | {"open"}:
                owner = ast.unparse(node.value)
                is_ours = owner.endswith(("filesystem", "fsspec", "fsspec.core"))
                literal = node.attr == "open" and owner.endswith("filesystem")
                assert literal or not is_ours, f"{path}:{node.lineno}: {ast.unparse(node)}"
