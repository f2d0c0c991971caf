"""Paths that are opened without a driver are those that its driver would open."""

from pathlib import Path

import pytest

from electra_pipeline.inputs.locations import open_location, resolve
from electra_pipeline.storage.stores import open_store


@pytest.mark.parametrize(
    "name", ["a.txt", "a b#c%20[1].txt", "x/../a.txt", "./a.txt", "x//a.txt", "x/", "std::a.txt"]
)
def test_local_paths_resolve_as_by_their_driver(name: str, tmp_path: Path) -> None:
    url = f"{tmp_path}/{name}"
    assert resolve(url)[1] == open_store(url)[1]
    assert type(resolve(url)[0]) is type(open_store(url)[0])


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_files_are_opened(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text")
    with open_location(f"{prefix}{tmp_path}/a.txt") as file:
        assert file.seekable()
        assert file.read() == b"text"
    with pytest.raises(FileNotFoundError):
        open_location(f"{prefix}{tmp_path}/b.txt")
