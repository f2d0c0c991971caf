"""Folders in unreliable stores, copies of remote files, unusable stores."""

import resource
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import safetensors.numpy
from fsspec.implementations.memory import MemoryFileSystem

from electra_pipeline.cli.app import app
from electra_pipeline.storage.artifact import Artifact, Draft, Written, find_artifacts, produce
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.models import model_directory
from electra_pipeline.storage.permissions import check_readable, check_writable
from tests.storage.unreliable import FAULTS, proxy

PART = 5 << 20  # the smallest that S3 takes
LARGE = 2 * PART + 1


def make(
    root: str, write: Callable[[Draft], None], stage: str = "things", config: str = ""
) -> Artifact:
    def written(draft: Draft) -> Written:
        write(draft)
        return Written({}, {})

    identity: dict[str, Any] = {"stage": stage, "name": "test", "format_version": 1}
    return produce(root=root, config={"it": config}, inputs={}, write=written, **identity)


def test_an_artifact_is_written_to_an_unreliable_store(
    s3_root: str, s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Throttled, failed, refused, cut and silent requests, lost answers: all as if nothing was."""

    def write(draft: Draft) -> None:
        draft.work.write_json("done.json", {"step": 1})
        draft.folder.write_json("step.json", draft.work.read_json("done.json"))
        with draft.create("large") as file:
            file.truncate(LARGE)

    patient = {"read_timeout": 5, "retries": {"mode": "standard", "total_max_attempts": 8}}
    settings = {"config_kwargs": patient, "default_block_size": PART}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, chunksize=None: PART)
    with proxy(s3_server, every=14) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        check_writable(Folder(s3_root))
        made = make(s3_root, write)
        assert find_artifacts(s3_root) == [made]
        assert made.manifest == make(str(tmp_path), write).manifest
        assert made.local_file("large").stat().st_size == LARGE
        parts = [path for method, path in server.requests if "partNumber" in path]
    assert {path.partition("partNumber=")[2].partition("&")[0] for path in parts} == {"1", "2", "3"}
    assert set(FAULTS) <= set(server.counts)


@pytest.fixture
def remote() -> Artifact:
    def write(draft: Draft) -> None:
        for name in ("config.json", "1_Pooling/config.json"):
            draft.folder.write_bytes(f"discriminator/{name}", uuid.uuid4().bytes)
        weights = safetensors.numpy.save({"weight": np.zeros(1, np.float32)})
        draft.folder.write_bytes("discriminator/model.safetensors", weights)

    unique = uuid.uuid4().hex
    return make(f"memory://{unique}", write, stage="publish", config=unique)


def test_processes_of_a_machine_download_one_copy(
    remote: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = []
    others_wait = threading.Barrier(4)
    get_file = MemoryFileSystem.get_file

    def counted(self: Any, source: str, target: str) -> None:
        brought.append(source)
        get_file(self, source, target)

    def use() -> None:
        others_wait.wait()
        found.append(remote.local_file("discriminator/config.json").read_bytes())

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    found: list[bytes] = []
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [remote.folder.read_bytes("discriminator/config.json")] * 4
    assert len(brought) == 1


def test_a_failed_download_leaves_no_file_and_can_be_repeated(
    remote: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Any, source: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", half)
        with pytest.raises(OSError, match="connection lost"):
            remote.local_file("discriminator/config.json")
    copy = remote.local_file("discriminator/config.json")
    assert [path.name for path in copy.parent.iterdir()] == ["config.json"]


def test_deleted_copies_are_downloaded_again(remote: Artifact) -> None:
    folder = remote.local_folder("discriminator")
    before = (folder / "config.json").read_bytes()
    shutil.rmtree(remote.local_file("discriminator/config.json").parent)
    assert not (folder / "config.json").exists()
    again = remote.local_folder("discriminator")
    assert (again / "config.json").read_bytes() == before


def test_a_remote_model_is_found_as_an_artifact_and_as_a_directory(remote: Artifact) -> None:
    for place in (remote.folder, remote.folder / "discriminator"):
        with model_directory(str(place), generator=False) as directory:
            for name in ("config.json", "1_Pooling/config.json"):
                data = remote.folder.read_bytes(f"discriminator/{name}")
                assert (Path(directory) / name).read_bytes() == data


def test_a_store_without_conditional_writes_is_refused() -> None:
    class Careless(MemoryFileSystem):
        protocol = "careless"

        def pipe_file(self, path: str, value: bytes, mode: str = "", **options: Any) -> None:
            super().pipe_file(path, value)

    fsspec.register_implementation("careless", Careless, clobber=True)
    with pytest.raises(ValueError, match=r"careless://x: this store has no conditional writes"):
        check_writable(Folder("careless://x"))


@pytest.mark.parametrize("place", ["s3://KEY:hush@bucket/runs", "zip://a::s3://KEY:hush@bucket/a"])
def test_a_password_in_a_uri_is_refused_and_redacted(place: str) -> None:
    with pytest.raises(ValueError, match=r"s3://KEY:\*\*\*@.* in the environment \(AWS_") as told:
        Folder(place)
    assert "hush" not in str(told.value)


def test_an_artifact_of_a_newer_format_or_without_a_file_is_refused(remote: Artifact) -> None:
    with pytest.raises(ValueError, match=r"has no predictions\.parquet; it is a publish artifact"):
        remote.local_file("predictions.parquet")
    remote.folder.write_json("manifest.json", {**remote.manifest, "format": 99})
    with (
        pytest.raises(ValueError, match="a publish artifact of format 99, this version reads up"),
        model_directory(str(remote.folder), generator=False),
    ):
        pass


def test_an_error_of_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write_bytes("file", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may be longer
    try:
        with pytest.raises(OSError, match=rf"too large: '{tmp_path}/file'"):
            folder.write_bytes("file", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.read_bytes("file") == b"before" and folder.files() == ["file"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file.txt", r"/file\.txt: a file; give a folder"),
        ("x" * 300, r"x: cannot be read \(.*name too long.*\); check its address, credentials"),
        ("ftp://127.0.0.1:1/runs", r"ftp://127\.0\.0\.1:1/runs: cannot be read \(.*refused"),
    ],
)
def test_an_unreadable_folder_is_a_one_line_error(place, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("a text")
    with pytest.raises(ValueError, match=message) as caught:
        check_readable(Folder(place))
    assert "\n" not in str(caught.value)
    for absent in ("absent", "file.txt/below", f"memory://{tmp_path}"):
        assert check_readable(Folder(absent)) == Folder(absent)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "file"),
        ("inspect", "file"),
        ("gc", "--root", "file"),
        ("predict", "file"),
        ("report", "--root", "file", "--output", "x.html"),
        ("submission", "--root", "file", "--output", "x", "--run", "x"),
    ],
)
def test_reading_commands_report_an_unreadable_folder(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a text")
    with pytest.raises(ValueError, match=r"/file: a file; give a folder"):
        app(arguments, standalone_mode=False)


@pytest.mark.parametrize("output", ["", "/", "."])
def test_a_report_needs_the_name_of_a_file(output):
    with pytest.raises(ValueError, match=r"--output .*: a folder; give the HTML file to write"):
        app(["report", "--output", output], standalone_mode=False)
