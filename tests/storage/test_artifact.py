"""Artifacts on the local disk, in memory and on a real S3 server."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.core.identity import Config, fingerprint
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
from electra_pipeline.storage.locks import Lease, LockLostError


class Settings(Config):
    size: int = 3
    name: str = "a"


S3 = pytest.param("s3", marks=pytest.mark.integration)


@pytest.fixture(params=["local", "memory", S3])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "root with space")
    elif request.param == "memory":
        yield f"memory://{uuid.uuid4().hex}"
    else:
        yield f"{request.getfixturevalue('s3_root')}/{uuid.uuid4().hex}"


def write_two_files(draft: Draft) -> Written:
    with draft.create("one.txt") as file:
        file.write(b"first")
    with draft.create("folder/two.txt") as file:
        file.write(b"second" * 1000)
    return Written({"rows": 2}, {"rate": 7.5})


def make(
    root: str,
    write: Callable[[Draft], Written] = write_two_files,
    settings: Settings | None = None,
    **inputs: str,
) -> Artifact:
    return produce(
        root=root,
        stage="things",
        name="test",
        format_version=1,
        config=settings or Settings(),
        inputs=inputs,
        write=write,
    )


def refuse(draft: Draft) -> Written:
    raise AssertionError("a finished artifact is not written again")


def test_a_rerun_reuses_the_artifact_and_logs_it(
    root: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = make(root)
    again = make(root, refuse)
    assert again.manifest == first.manifest
    assert ": reused (" in caplog.text
    assert first.folder.read_bytes("one.txt") == b"first"
    assert first.local_file("folder/two.txt").read_bytes() == b"second" * 1000
    assert (first.local_folder("folder") / "two.txt").read_bytes() == b"second" * 1000
    assert find_artifacts(root) == [first]
    assert find_artifacts(root, "other") == []
    assert first.observed["rate"] == 7.5


def test_another_config_or_input_is_another_artifact(root: str) -> None:
    places = {
        make(root).folder.uri,
        make(root, settings=Settings(size=4)).folder.uri,
        make(root, corpus="abc").folder.uri,
        make(root, corpus="abd").folder.uri,
    }
    assert len(places) == 4
    assert len(find_artifacts(root, "things")) == 4


def test_the_manifest_is_the_same_from_run_to_run(root: str, tmp_path: Path) -> None:
    here, there = make(root), make(str(tmp_path / "elsewhere"))
    assert here.manifest == there.manifest


def test_an_interrupted_stage_has_no_artifact_and_resumes_from_its_work(root: str) -> None:
    def die(draft: Draft) -> Written:
        draft.work.write_json("done.json", [1])
        with draft.create("one.txt") as file:
            file.write(b"first")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        make(root, die)
    assert find_artifacts(root) == []

    def go_on(draft: Draft) -> Written:
        assert draft.work.read_json("done.json") == [1]
        return write_two_files(draft)

    resumed = make(root, go_on)
    assert resumed.observed["resumed"]
    assert resumed.file_names() == ["folder/two.txt", "one.txt"]
    assert not any(name.startswith("work/") for name in resumed.folder.files())
    assert verify(resumed) == []


def test_a_file_is_written_whole_or_not_at_all(root: str) -> None:
    folder = Folder(root) / "files"
    folder.write_bytes("kept", b"before")
    for name in ("kept", "new"):
        with pytest.raises(RuntimeError), folder.create(name) as file:
            file.write(b"half of it")
            raise RuntimeError("disk full")
    assert folder.read_bytes("kept") == b"before"
    assert folder.files() == ["kept"]


def test_verify_names_each_damaged_file(root: str) -> None:
    artifact = make(root)
    assert verify(artifact) == []
    artifact.folder.write_bytes("one.txt", b"First")
    artifact.folder.write_bytes("folder/two.txt", b"short")
    artifact.folder.write_bytes("stranger.txt", b"?")
    problems = verify(artifact)
    assert [problem.split(": ")[0].rsplit("/", 1)[-1] for problem in problems] == [
        "two.txt",
        "one.txt",
        "stranger.txt",
    ]
    assert "5 bytes, expected 6000" in problems[0]
    assert "sha256" in problems[1]
    artifact.folder.remove("one.txt")
    assert any("one.txt: missing" in problem for problem in verify(artifact))


@pytest.mark.parametrize("root", ["memory", S3], indirect=True)
def test_a_damaged_remote_file_is_not_used(root: str) -> None:
    """A local file is mapped where it is stored; `verify` hashes it again."""
    artifact = make(root)
    artifact.folder.write_bytes("one.txt", b"First" + os.urandom(8))
    fresh = uuid.uuid4().hex  # another digest, so that no earlier copy in the cache serves
    with pytest.raises(ValueError, match=r"one\.txt: sha256 is .* the file is damaged"):
        artifact.folder.local_file("one.txt", fresh)


def test_a_manifest_of_another_format_is_refused(root: str) -> None:
    artifact = make(root)
    artifact.folder.write_json("manifest.json", {**artifact.manifest, "manifest_format": 99})
    with pytest.raises(ValueError, match="format 99, this version reads 1"):
        open_artifact(artifact.folder)


def test_two_drivers_write_an_artifact_once(root: str, caplog: pytest.LogCaptureFixture) -> None:
    num_inside, most_inside = 0, 0

    def slowly(draft: Draft) -> Written:
        nonlocal num_inside, most_inside
        num_inside += 1
        most_inside = max(most_inside, num_inside)
        deadline = time.monotonic() + 120
        while "waiting for it" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # one that does not wait would come in now
        num_inside -= 1
        return write_two_files(draft)

    results: list[Artifact] = []
    threads = [
        threading.Thread(target=lambda: results.append(make(root, slowly))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_inside == 1
    assert len(results) == 3
    assert all(result.manifest == results[0].manifest for result in results)
    assert "waiting for it" in caplog.text


def test_a_driver_that_lost_its_lock_writes_no_manifest(s3_root: str) -> None:
    root = f"{s3_root}/{uuid.uuid4().hex}"

    def sleep_while_another_takes_over(draft: Draft) -> Written:
        (draft.work / "seen").write_bytes("by the other", b"")
        parent, _, name = draft.folder.path.rpartition("/")
        other = Lease(draft.folder.filesystem, f"{parent}/.{name}.lease")
        assert other.put_after(other.newest(), "the other")
        return write_two_files(draft)

    with pytest.raises(LockLostError, match="taken over by the other"):
        make(root, sleep_while_another_takes_over)
    [place] = {name.split("/")[1] for name in Folder(root).files()}
    left = (Folder(root) / "things" / place).files()
    assert left == ["folder/two.txt", "one.txt", "work/seen/by the other"]


def test_an_unknown_storage_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="cannot use 'nosuch://x' as a storage location"):
        Folder("nosuch://x").exists()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), values), st.integers(0, 5))
@settings(max_examples=30)
def test_fingerprint_ignores_order_and_sees_every_change(config: dict[str, Any], n: int) -> None:
    digits = fingerprint("stage", 1, config, {"corpus": "x"})
    backwards = dict(reversed(list(config.items())))
    assert fingerprint("stage", 1, backwards, {"corpus": "x"}) == digits
    assert fingerprint("stage", 1, {**config, "extra key": n}, {"corpus": "x"}) != digits
    assert fingerprint("stage", 2, config, {"corpus": "x"}) != digits
    assert fingerprint("other", 1, config, {"corpus": "x"}) != digits
    assert fingerprint("stage", 1, config, {"corpus": "y"}) != digits
