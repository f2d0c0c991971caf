"""Sources of every kind through the corpus stage, and those that it refuses."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from electra_pipeline.corpus.card import CARD
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.corpus.sources.config import HubSource
from electra_pipeline.corpus.sources.plan import plan
from electra_pipeline.storage.artifact import verify
from electra_pipeline.storage.folder import Folder
from tests.corpus.corpora import ENGLISH, PoolExecutor, config, documents, prose, run, write_jsonl


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("file", ["First line of one.\nSecond line of it.\n\nAnother block."]),
        ("blank-line", ["First line of one.\nSecond line of it.", "Another block."]),
        ("line", ["First line of one.", "Second line of it.", "Another block."]),
    ],
)
def test_text_files_are_divided_as_configured(
    tmp_path: Path, cut: str, expected: list[str]
) -> None:
    file = tmp_path / "book.txt"
    file.write_bytes(b"\n\nFirst line of one.\r\nSecond line of it.\n \t\n\nAnother block.\n")
    source = {"type": "files", "urls": [str(file)], "documents": cut}
    settings = CorpusConfig.model_validate(
        {"sources": [source], "min_characters": 1, "held_out_fraction": 0}
    )
    artifact = run(settings, tmp_path / "runs")
    assert [row["text"] for row in documents(artifact)] == expected
    assert artifact.file_names("held-out-") == []


def test_sources_mix_and_the_first_of_equal_documents_stays(tmp_path: Path) -> None:
    shared = prose(ENGLISH, 1)
    (tmp_path / "a.csv").write_text(f'title,body\nx,"{shared}"\ny,"{prose(ENGLISH, 2)}"\n')
    table = pa.table({"text": [shared, prose(ENGLISH, 3)], "url": ["u1", "u2"]})
    hub = tmp_path / "dataset" / "data"
    hub.mkdir(parents=True)
    pq.write_table(table, hub / "train-00000-of-00002.parquet")
    pq.write_table(table.slice(1), hub / "train-00001-of-00002.parquet")
    digest = hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    settings = CorpusConfig.model_validate(
        {
            "sources": [
                {
                    "type": "files",
                    "urls": [{"url": str(tmp_path / "a.csv"), "sha256": digest}],
                    "text_column": "body",
                },
                {"type": "hub", "path": str(tmp_path / "dataset")},
            ],
            "held_out_fraction": 0,
        }
    )
    artifact = run(settings, tmp_path / "runs")
    counted = {
        label: (source["read"], source["kept"], source["dropped"])
        for label, source in artifact.counters["sources"].items()
    }
    assert counted == {"a": (2, 2, {}), "dataset": (3, 1, {"duplicate": 2})}
    assert [row["url"] for row in documents(artifact)] == [None, None, "u2"]


@pytest.mark.integration
def test_raw_sources_become_documents_and_what_is_unreadable_is_counted(tmp_path: Path) -> None:
    pages = [
        f"<page><title>Page {n}</title><ns>0</ns><revision><text>{text}</text></revision></page>"
        for n, text in enumerate(
            [prose(ENGLISH, 1) + "{{gone}}", "&lt;b&gt;" * 20_000, "#REDIRECT", prose(ENGLISH, 2)]
        )
    ]
    dump = f"<mediawiki>{''.join(pages)}</mediawiki>".encode()
    (tmp_path / "wiki.xml.gz").write_bytes(gzip.compress(dump))
    html = f"<main><p>{prose(ENGLISH, 3)}</p></main>"
    deep = "<div>" * 10_000 + prose(ENGLISH, 4)
    archive = b""
    for page in (html, deep):
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()
        head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: {len(http)}\r\n\r\n"
        archive += gzip.compress(head.encode() + http + b"\r\n\r\n")
    (tmp_path / "web.warc.gz").write_bytes(archive)
    book = "\n\n".join(f"Chapter {n}\n\n{prose(ENGLISH, n, 200)}" for n in range(10, 20))
    (tmp_path / "book.txt").write_text(book)

    def source(name: str, **reading: Any) -> dict[str, Any]:
        return {"type": "files", "urls": [f"{tmp_path}/{name}"], **reading}

    settings = CorpusConfig.model_validate(
        {
            "sources": [
                source("wiki.xml.gz", format="wikipedia-xml"),
                source("web.warc.gz"),
                source("book.txt", documents="book", document_characters=1200),
                source("book.txt", documents="line", max_documents_per_file=3, label="lines"),
            ],
            "held_out_fraction": 0,
        }
    )
    one = run(settings, tmp_path / "one")
    counted = ("read", "kept", "dropped", "repaired")
    assert {
        label: {name: source[name] for name in counted}
        for label, source in one.counters["sources"].items()
    } == {
        "wiki": {
            "read": 4,
            "kept": 2,
            "dropped": {"unclosed_markup": 1, "too_short": 1},
            "repaired": {},
        },
        "web": {"read": 2, "kept": 1, "dropped": {"html_too_deep": 1}, "repaired": {}},
        "book": {"read": 10, "kept": 10, "dropped": {}, "repaired": {}},
        "lines": {"read": 3, "kept": 1, "dropped": {"too_short": 2}, "repaired": {}},
    }
    texts = [row["text"] for row in documents(one)]
    assert texts[:3] == [prose(ENGLISH, 1), prose(ENGLISH, 2), prose(ENGLISH, 3)]
    assert run(settings, tmp_path / "two", PoolExecutor()).manifest == one.manifest


def hub(path: Path | str, **changes: Any) -> dict[str, Any]:
    return {"type": "hub", "path": str(path)} | changes


def test_a_save_to_disk_folder_is_a_hub_source(tmp_path: Path) -> None:
    texts = [prose(ENGLISH, n) for n in range(30)]
    saved = datasets.Dataset.from_dict({"text": texts, "other": list(range(30))})
    saved.save_to_disk(tmp_path / "one", num_shards=3)
    datasets.DatasetDict(train=saved, test=saved.select([3, 1])).save_to_disk(tmp_path / "both")
    for source, expected in (
        (hub(tmp_path / "one"), texts),
        (hub(tmp_path / "both"), texts),
        (hub(tmp_path / "both", split="test"), [texts[3], texts[1]]),
        ({"type": "files", "urls": [f"{tmp_path}/one/*.arrow"]}, texts),
    ):
        settings = CorpusConfig.model_validate({"sources": [source], "held_out_fraction": 0})
        artifact = run(settings, tmp_path / "runs")
        assert [row["text"] for row in documents(artifact)] == expected
    assert len(plan([HubSource(path=str(tmp_path / "one"))])) == 3
    with pytest.raises(ValueError, match=r"it has the splits train, test; check these"):
        plan([HubSource(path=str(tmp_path / "both"), split="dev")])
    with pytest.raises(ValueError, match="no column 'body'; it has 'text', 'other'"):
        plan([HubSource(path=str(tmp_path / "one"), text_column="body")])


def test_columns_of_a_hub_source_that_are_not_read_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    columns = {"text": ["one", "two"], "date": pa.array([0, -1_000_000], pa.date32())}
    pq.write_table(pa.table(columns), tmp_path / "data" / "train.parquet")
    (partition,) = plan([HubSource(path=str(tmp_path))])
    assert [document.text for document in partition.read()] == ["one", "two"]


def test_a_missing_hub_dataset_is_a_one_line_error(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [prose(ENGLISH, 1)])
    for source, message in (
        (hub(folder, split="dev"), "hub dataset .*split 'dev'.*check these"),
        (hub(folder, text_column="body"), "no column 'body'; it has 'text', 'url'"),
        (hub(folder, name="absent"), "name 'absent'.*check these"),
    ):
        settings = CorpusConfig.model_validate({"sources": [source]})
        with pytest.raises(ValueError, match=message) as caught:
            run(settings, tmp_path / "runs")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_bad_input_is_refused_before_work_starts(texts: Path, tmp_path: Path) -> None:
    (texts / "latin.txt").write_bytes(b"ok\nbr\xe4ve\n")
    (texts / "other.csv").write_text("id,body\n1,x\n")
    (texts / "noise.bin").write_bytes(b"x")
    good = f"{texts}/*.gz"
    for urls, message in (
        ([f"{texts}/absent.txt"], "absent.txt: no such file; the nearest folder"),
        ([good, f"{texts}/absent/*"], "no file matches it"),
        ([{"url": f"{texts}/odd.jsonl", "sha256": "0" * 64}], "odd.jsonl: sha256 is .* expected 0"),
        ([good, f"{texts}/other.csv"], "other.csv: no column 'text'; it has 'id', 'body'"),
        ([good, f"{texts}/latin.txt"], "latin.txt: line 2, byte 5: not valid utf-8"),
        ([f"{texts}/noise.bin"], "noise.bin: its suffix names no known format"),
    ):
        settings = config(texts, sources=[{"type": "files", "urls": urls}])
        with pytest.raises(ValueError, match=message) as caught:
            run(settings, tmp_path / "runs")
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("runs/corpus-pieces/*/*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("\n", "empty 1"), ("Kurz.\n", "too_short 1")],
)
def test_an_empty_corpus_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    settings = config(tmp_path, sources=[{"type": "files", "urls": [f"{tmp_path}/a.txt"]}])
    with pytest.raises(ValueError, match=f"in a, all 1 documents were dropped: {message}; check"):
        run(settings, tmp_path / "runs")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": []}, "sources"),
        ({"language": "xx"}, "language 'xx' cannot be identified"),
        ({"min_characters": 20, "max_characters": 10}, "min_characters is 20, more than"),
        ({"sources": [{"type": "files", "urls": ["a"], "format": "doc"}]}, "format"),
        ({"sources": [{"type": "files", "urls": ["a"], "encoding": "utf-9"}]}, "utf-9"),
        ({"sources": [{"type": "ftp", "urls": ["a"]}]}, "'files', 'package', 'hub'"),
        ({"sources": [{"type": "files", "urls": ["a"], "colour": 1}]}, "colour"),
        (
            {
                "sources": [
                    {"type": "package", "requirement": "a", "sha256": "0" * 64, "member": "b"}
                ]
            },
            "requirement",
        ),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(tmp_path, **settings)


def test_a_corpus_from_and_to_s3(s3_root: str, texts: Path, tmp_path: Path) -> None:
    Folder(f"{s3_root}/raw/texts").upload(texts)
    sources = [{"type": "files", "urls": [f"{s3_root}/raw/texts/*"]}]
    remote = run(config(texts, sources=sources), f"{s3_root}/runs")
    assert verify(remote) == []
    local = run(config(texts), tmp_path / "runs")
    for name in local.file_names():
        if name != CARD:  # which names the content: a sha256 there, an entity tag here
            assert remote.manifest["files"][name] == local.manifest["files"][name]


def test_a_root_in_memory(texts: Path) -> None:
    artifact = run(config(texts), "memory://runs-of-the-corpus-test")
    assert verify(artifact) == []
    assert artifact.counters["documents"]["train"] > 150


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("https://huggingface.co/datasets/a/b", "is a URL; give the name .*: 'a/b'"),
        ("hf://datasets/a/b", "is a URL; give the name .*: 'a/b'"),
        ("./no/such", r"\./no/such: no such folder"),
        (__file__, "a file, not a dataset; set type to files"),
    ],
)
def test_an_invalid_hub_path_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([HubSource(path=path)])
