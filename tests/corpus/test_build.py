"""The corpus stage over real files: what is kept, what is dropped, what never differs."""

import gzip
import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from electra_pipeline.artifact import Artifact, verify
from electra_pipeline.corpus.build import CorpusConfig, build
from electra_pipeline.corpus.card import CARD
from electra_pipeline.execution import LocalExecutor, Outcome
from electra_pipeline.progress import Update, silent
from electra_pipeline.shards import DOCUMENT_SCHEMA, read_documents
from electra_pipeline.storage import Folder

ENGLISH = ("the", "of", "and", "to", "in", "is", "was", "that", "for", "it", "on", "as", "with")
SPANISH = ("el", "la", "de", "que", "y", "en", "los", "se", "del", "las", "un", "por", "con", "una")


class PoolExecutor(LocalExecutor):
    """Two worker processes; results come as they finish, never in order."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **resources: Any
    ) -> Iterator[Outcome[Any]]:
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            futures = {
                pool.submit(function, item): index
                for index, item in reversed(list(enumerate(items)))
            }
            for future in as_completed(futures):
                error = future.exception()
                assert error is None or isinstance(error, Exception)
                value = None if error else future.result()
                yield Outcome(futures[future], value, error)


class KilledError(BaseException):
    """Not an Exception: as a signal would end it."""


class DyingExecutor(LocalExecutor):
    """Dies after some items."""

    def __init__(self, after: int) -> None:
        self.after = after

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **resources: Any
    ) -> Iterator[Outcome[Any]]:
        for outcome in super().map(function, items):
            if self.after == 0:
                raise KilledError
            self.after -= 1
            yield outcome


def prose(words: Sequence[str], seed: int, number: int = 40) -> str:
    chosen = random.Random(seed).choices(words, k=number)
    return " ".join(chosen) + f" {seed}."


def write_jsonl(path: Path, texts: Sequence[str | None]) -> None:
    records = [{"text": text, "url": f"https://x/{path.name}/{n}"} for n, text in enumerate(texts)]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Five files: 200 English documents, and one of everything that is dropped."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(4):
        documents = [prose(ENGLISH, number * 50 + n) for n in range(50)]
        write_jsonl(folder / f"{number}.jsonl.gz", documents)
    odd = [
        None,
        " \u200b\n",
        "Too short.",
        "long " * 5000,
        prose(SPANISH, 1),
        prose(ENGLISH, 7).upper().replace(" ", "\n", 3),  # a duplicate from another file
        "It isnâ€™t lost\ufffd. " + prose(ENGLISH, 999),
    ]
    write_jsonl(folder / "odd.jsonl", odd)
    return folder


def config(folder: Path, **changes: Any) -> CorpusConfig:
    settings = {
        "sources": [{"type": "files", "urls": [f"{folder}/*"]}],
        "language": "en",
        "max_characters": 10_000,
        "held_out_fraction": 0.1,
    }
    return CorpusConfig.model_validate(settings | changes)


def run(config: CorpusConfig, root: Path | str, executor: Any = None) -> Artifact:
    executor = executor or LocalExecutor()
    return build(config, root=str(root), name="tiny", executor=executor, progress=silent)


def documents(artifact: Artifact, prefix: str = "shard-") -> list[dict[str, Any]]:
    batches = read_documents(artifact, prefix, DOCUMENT_SCHEMA.names)
    return [row for batch in batches for row in batch.to_pylist()]


def test_every_document_is_accounted_for(texts: Path, tmp_path: Path) -> None:
    artifact = run(config(texts), tmp_path / "runs")
    counters = artifact.counters
    train, held_out = documents(artifact), documents(artifact, "held-out-")
    kept = [row["text"] for row in train + held_out]
    assert counters["sources"] == {
        "texts": {
            "read": 207,
            "kept": 201,
            "dropped": {
                "empty": 2,
                "too_short": 1,
                "too_long": 1,
                "language": 1,
                "duplicate": 1,
            },
            "repaired": {"mojibake_documents": 1, "replacement_characters": 1},
            "words": sum(len(text.split()) for text in kept),
            "characters": sum(len(text) for text in kept),
            "bytes": sum(len(text.encode()) for text in kept),
        }
    }
    for split, rows in (("train", train), ("held_out", held_out)):
        assert counters["documents"][split] == len(rows)
        assert counters["words"][split] == sum(len(row["text"].split()) for row in rows)
        assert counters["characters"][split] == sum(len(row["text"]) for row in rows)
        assert counters["bytes"][split] == sum(len(row["text"].encode()) for row in rows)
    assert counters["languages"] == dict(Counter(row["language"] for row in train + held_out))
    assert counters["words_by_language"] == {"en": counters["sources"]["texts"]["words"]}
    assert counters["documents_by_words"] == {"1": 0, "2": 0, "4": 0, "8": 0, "16": 0, "32": 201}
    assert 5 < len(held_out) < 40
    assert len({row["id"] for row in train + held_out}) == 201
    assert {row["source"] for row in train} == {"texts"}
    assert {row["url"]: row["text"] for row in train + held_out}["https://x/1.jsonl.gz/3"] == (
        prose(ENGLISH, 53)
    )
    numbers = [int(row["text"].rsplit(" ", 1)[1].rstrip(".")) for row in train]
    assert numbers == sorted(numbers)  # the order of the sources
    assert any(row["text"].startswith("It isn\u2019t lost. ") for row in train + held_out)
    assert verify(artifact) == []
    assert not artifact.folder.exists("work")


@settings(max_examples=40)
@given(
    contents=st.lists(
        st.none()
        | st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf"]), max_size=80)
        | st.sampled_from([prose(ENGLISH, 1), prose(SPANISH, 2), "<p>&lt;b&gt;", "fÃ¼r"]),
        max_size=8,
    ),
    is_sampled=st.booleans(),
)
def test_counters_balance_whatever_the_texts_are(
    contents: list[str | None], is_sampled: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_jsonl(folder / "any.jsonl", [*contents, prose(ENGLISH, 3)])
    changes = {"sample_fraction": 0.5} if is_sampled else {}
    try:
        artifact = run(config(folder, min_characters=2, **changes), folder / "runs")
    except ValueError as error:
        assert str(error).startswith(
            f"the corpus is empty: in {folder.name}, all {len(contents) + 1} "
        )
        return
    (source,) = artifact.counters["sources"].values()
    assert source["read"] == len(contents) + 1 == source["kept"] + sum(source["dropped"].values())
    rows = documents(artifact) + documents(artifact, "held-out-")
    assert len({row["id"] for row in rows}) == len(rows) == source["kept"]


def test_dropped_documents_can_be_looked_at(texts: Path, tmp_path: Path) -> None:
    artifact = run(config(texts), tmp_path / "runs")
    rows = pq.read_table(artifact.local_file("dropped.parquet")).to_pylist()
    by_reason = {row["reason"]: row for row in rows}
    assert Counter(row["reason"] for row in rows)["empty"] == 2
    assert by_reason["too_short"]["value"] == "10"
    assert by_reason["too_short"]["text"] == "Too short."
    assert by_reason["too_long"]["value"] == "24999"
    assert by_reason["language"]["value"] == "es 1.00"
    assert by_reason["duplicate"]["url"] == "https://x/odd.jsonl/5"
    few = run(config(texts, samples_per_reason=1), tmp_path / "runs")
    assert len(pq.read_table(few.local_file("dropped.parquet"))) == 5


def test_samples_of_dropped_documents_are_a_random_choice(tmp_path: Path) -> None:
    for number in range(2):
        write_jsonl(tmp_path / f"{number}.jsonl", [f"short {n}" for n in range(number, 200, 2)])
    write_jsonl(tmp_path / "kept.jsonl", [prose(ENGLISH, 1), prose(ENGLISH, 2)])
    artifact = run(config(tmp_path, samples_per_reason=20), tmp_path / "runs")
    rows = pq.read_table(artifact.local_file("dropped.parquet")).to_pylist()
    numbers = [int(row["text"].split()[1]) for row in rows]
    assert len(set(numbers)) == 20
    assert min(numbers) < 50 and max(numbers) > 150
    assert 4 <= sum(number % 2 for number in numbers) <= 16  # of both files


def test_shards_are_byte_equal_for_any_number_of_workers(texts: Path, tmp_path: Path) -> None:
    settings = config(texts)
    one = run(settings, tmp_path / "one")
    two = run(settings, tmp_path / "two", PoolExecutor())
    assert one.manifest == two.manifest  # which holds the sha256 of every file


@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_an_interrupted_run_goes_on_and_ends_the_same(
    texts: Path, tmp_path: Path, after: int
) -> None:
    settings = config(texts)
    whole = run(settings, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(settings, tmp_path / "torn", DyingExecutor(after))
    assert not list((tmp_path / "torn").rglob("manifest.json"))
    updates: list[Update] = []
    root = str(tmp_path / "torn")
    resumed = build(
        settings, root=root, name="tiny", executor=LocalExecutor(), progress=updates.append
    )
    assert resumed.manifest == whole.manifest
    # The last item was processed before the death, though nobody heard of it.
    assert [update.done for update in updates] == [*range(after + 1, 6), 5]


def test_a_finished_corpus_is_not_built_again(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    again = run(config(texts), tmp_path / "runs", DyingExecutor(0))
    assert again.manifest == first.manifest


def test_a_source_that_has_grown_costs_what_is_new(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    assert first.observed["pieces_known"] == 0
    write_jsonl(texts / "new.jsonl", [prose(ENGLISH, 1000 + n) for n in range(20)])
    (texts / "odd.jsonl").rename(texts / "renamed.jsonl")
    grown = run(config(texts), tmp_path / "runs", DyingExecutor(1))  # a second piece would kill it
    assert grown.observed["pieces_known"] == 5
    assert grown.counters["documents"]["train"] > first.counters["documents"]["train"]
    afresh = run(config(texts), tmp_path / "other")
    assert grown.manifest == afresh.manifest


def test_a_damaged_piece_is_made_again(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    piece = sorted(tmp_path.glob("runs/corpus-pieces/*/documents.arrow"))[0]
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 1
    piece.write_bytes(bytes(data))
    changed = run(config(texts, held_out_fraction=0.2), tmp_path / "runs")
    assert changed.observed["pieces_known"] == 4
    assert changed.manifest["files"] != first.manifest["files"]
    afresh = run(config(texts, held_out_fraction=0.2), tmp_path / "other")
    assert changed.manifest == afresh.manifest


def test_a_source_counts_by_its_weight(tmp_path: Path) -> None:
    sources = []
    for name, weight in (("twice", 2.0), ("half", 0.5), ("once", 1.0)):
        texts = [prose(ENGLISH, len(sources) * 1000 + n) for n in range(400)]
        write_jsonl(tmp_path / f"{name}.jsonl", texts)
        urls = [str(tmp_path / f"{name}.jsonl")]
        sources.append({"type": "files", "urls": urls, "weight": weight})
    artifact = run(config(tmp_path, sources=sources), tmp_path / "runs")
    times = Counter(row["id"] for row in documents(artifact))
    source_of = {row["id"]: row["source"] for row in documents(artifact)}
    assert {source_of[one]: number for one, number in times.items()} == {
        "twice": 2,
        "half": 1,
        "once": 1,
    }
    held_out = documents(artifact, "held-out-")
    assert max(Counter(row["id"] for row in held_out).values()) == 1
    counted = artifact.counters["sources"]
    assert counted["twice"]["dropped"] == counted["once"]["dropped"] == {}
    assert 120 < counted["half"]["dropped"]["weight"] < 240
    assert artifact.counters["documents"]["train"] == times.total()
    order = [row["id"] for row in documents(artifact)]
    assert order.index(order[0], 1) > len(times) - 1  # the copies follow all first ones
    without = [source | {"weight": 1.0} for source in sources]
    again = run(config(tmp_path, sources=without), tmp_path / "runs", DyingExecutor(0))
    assert again.observed["pieces_known"] == 3


def test_a_sample_is_the_same_documents_everywhere(texts: Path, tmp_path: Path) -> None:
    whole = run(config(texts), tmp_path / "runs")
    some = run(config(texts, sample_fraction=0.3), tmp_path / "runs")
    counted = some.counters["sources"]["texts"]
    assert counted["read"] == 207
    assert 100 < counted["dropped"]["not_sampled"] < 180
    ids = {row["id"] for row in documents(whole) + documents(whole, "held-out-")}
    assert {row["id"] for row in documents(some)} < ids


def test_the_place_of_the_bytes_is_not_identity(texts: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "elsewhere" / "texts"
    shutil.copytree(texts, other)
    first, moved = (run(config(place), tmp_path / place.parent.name) for place in (texts, other))
    assert first.fingerprint == moved.fingerprint
    (other / "odd.jsonl").write_text('{"text": "changed"}\n')
    assert run(config(other), tmp_path / "x").fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "changes",
    [{"min_characters": 20}, {"held_out_fraction": 0.2}, {"unescape_html": False}],
)
def test_rules_are_identity(texts: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    roots = tmp_path / "runs"
    assert run(config(texts), roots).fingerprint != run(config(texts, **changes), roots).fingerprint


def test_shards_are_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        write_jsonl(
            folder / f"{number}.jsonl",
            [prose(ENGLISH, number * 1500 + n, number=100) for n in range(1500)],
        )
    settings = config(folder, shard_megabytes=1, held_out_fraction=0.01, language=None)
    artifact = run(settings, tmp_path / "runs")
    shards = artifact.file_names("shard-")
    assert len(shards) >= 2
    sizes = [artifact.manifest["files"][name]["bytes"] for name in shards]
    assert all(1_000_000 <= size < 2_000_000 for size in sizes[:-1])
    with pa.memory_map(str(artifact.local_file(shards[0]))) as file:
        assert pa.ipc.open_file(file).schema == DOCUMENT_SCHEMA


def test_no_language_keeps_and_records_every_language(texts: Path, tmp_path: Path) -> None:
    artifact = run(config(texts, language=None), tmp_path / "runs")
    assert artifact.counters["languages"]["es"] == 1
    assert "language" not in artifact.counters["sources"]["texts"]["dropped"]


def test_a_root_in_memory(texts: Path) -> None:
    artifact = run(config(texts), "memory://runs-of-the-corpus-test")
    assert verify(artifact) == []
    assert artifact.counters["documents"]["train"] > 150


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("file", ["First line of one.\nSecond line of it.\n\nAnother block."]),
        ("blank-line", ["First line of one.\nSecond line of it.", "Another block."]),
        ("line", ["First line of one.", "Second line of it.", "Another block."]),
    ],
)
def test_text_files_are_cut_as_asked(tmp_path: Path, cut: str, expected: list[str]) -> None:
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


def test_a_hub_source_that_is_not_there_is_one_line(tmp_path: Path) -> None:
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
        ([f"{texts}/noise.bin"], "noise.bin: its name does not tell the format"),
    ):
        settings = config(texts, sources=[{"type": "files", "urls": urls}])
        with pytest.raises(ValueError, match=message) as caught:
            run(settings, tmp_path / "runs")
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("runs/corpus-pieces/*/*"))


def test_a_file_cut_in_its_middle_fails_and_the_rest_is_kept(texts: Path, tmp_path: Path) -> None:
    noise = random.Random(0)  # more than is read before work starts
    many = [{"text": prose(ENGLISH, n), "noise": noise.randbytes(1000).hex()} for n in range(1500)]
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in many).encode())
    (texts / "9.jsonl.gz").write_bytes(packed[: len(packed) * 8 // 10])
    with pytest.raises(ValueError, match=r"9\.jsonl\.gz: ends in the middle of its gzip stream"):
        run(config(texts), tmp_path / "runs")
    assert not list(tmp_path.rglob("manifest.json"))
    assert len(list(tmp_path.glob("runs/corpus-pieces/*/record.json"))) == 4
    assert len(list(tmp_path.glob("runs/corpus-pieces/*/*"))) == 8


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


@pytest.mark.data
def test_real_news_and_novels(tmp_path: Path) -> None:
    data = os.environ.get("ELECTRA_PIPELINE_DATA")
    if not data or not Path(data).is_dir():
        pytest.skip("ELECTRA_PIPELINE_DATA names no folder with the real corpora")
    sources = [
        {"type": "files", "urls": [f"{data}/corpora/wikinews-en/part-005.jsonl.zst"]},
        {"type": "files", "urls": [f"{data}/corpora/eltec-spa/SPA1001*.txt.gz"]},
    ]
    artifact = run(CorpusConfig.model_validate({"sources": sources}), tmp_path / "runs")
    news, novel = (
        artifact.counters["sources"]["part-005"],
        artifact.counters["sources"]["eltec-spa"],
    )
    assert novel["kept"] == 1
    assert news["kept"] > 500 and news["dropped"]["empty"] > 100
    assert news["repaired"]["html_entities"] > 50
    assert artifact.counters["languages"]["en"] >= 0.99 * news["kept"]


def test_a_corpus_from_and_to_s3(s3_root: str, texts: Path, tmp_path: Path) -> None:
    Folder(f"{s3_root}/raw/texts").upload(texts)
    sources = [{"type": "files", "urls": [f"{s3_root}/raw/texts/*"]}]
    remote = run(config(texts, sources=sources), f"{s3_root}/runs")
    assert verify(remote) == []
    local = run(config(texts), tmp_path / "runs")
    for name in local.file_names():
        if name != CARD:  # which names the content: a sha256 there, an entity tag here
            assert remote.manifest["files"][name] == local.manifest["files"][name]
