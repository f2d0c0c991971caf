"""Redaction of secrets in URIs, and the allow-list of a shared server."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.config import PipelineConfig
from electra_pipeline.corpus.sources import hub
from electra_pipeline.corpus.sources.config import HubSource
from electra_pipeline.inputs.files import UrlFile, expand, fetch
from electra_pipeline.results.database import database_location
from electra_pipeline.storage.models import model_directory
from electra_pipeline.storage.uri import (
    ALLOWED_PREFIXES,
    check_dataset_allowed,
    check_file_allowed,
    check_folder_allowed,
    check_model_allowed,
    redacted,
)
from electra_pipeline.workflows.evaluate import find_model
from electra_pipeline.workflows.preflight import check_uris


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/data/it's 100 % mine.txt", "/data/it's 100 % mine.txt"),
        ("s3://bucket/a?.txt", "s3://bucket/a?.txt"),
        ("https://host:8080/a@b.txt", "https://host:8080/a@b.txt"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("https://h/a?X-Amz-Signature=s3cret&id=7", "https://h/a?X-Amz-Signature=***&id=***"),
        ("https://me:s3cret@h/a", "https://***@h/a"),
        ("https://me:s3@cret@h/a", "https://***@h/a"),
        ("HTTPS://s3cret@h/a", "HTTPS://***@h/a"),
        ("sftp://me:s3cret@h/a", "sftp://me:***@h/a"),
        ("postgresql+psycopg://me:s3/cret@h/db", "postgresql+psycopg://me:***@h/db"),
        ("postgresql://me@h/db?password=s3cret", "postgresql://me@h/db?password=***"),
        ("zip://a.txt::https://me:s3cret@h/a.zip", "zip://a.txt::https://***@h/a.zip"),
        (
            "no answer from https://h/a?sig=s3cret, gave up",
            "no answer from https://h/a?sig=*** gave up",
        ),
    ],
)
def test_secrets_in_uris_are_redacted(place: str, expected: str) -> None:
    assert redacted(place) == expected


UNRESERVED = "abcXYZ019-._~%!$"  # characters of a percent-encoded password


@settings(max_examples=15)
@given(
    st.sampled_from(["https", "ftp", "sftp", "postgresql+psycopg", "webdavs"]),
    st.text(UNRESERVED, min_size=1),
    st.text("abc", min_size=1),
)
def test_no_password_or_query_value_remains(scheme: str, password: str, path: str) -> None:
    secret = f"<{password}>".replace("<", "%3C").replace(">", "%3E")
    place = f"{scheme}://user:{secret}@host:99/{path}?token={secret}&{path}={secret}#x"
    assert secret not in redacted(place)
    assert "@host:99/" in redacted(place) and path in redacted(place)


@pytest.fixture
def allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed folder with a file; the folder beside it is not allowed."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a text that everybody may read")
    (tmp_path / "texts-of-others").mkdir()
    (tmp_path / "texts-of-others" / "b.txt").write_text("a text of others")
    prefixes = [
        str(folder),
        "s3://bucket/texts/",
        "https://h/texts",
        "hf://google",
        "hf://datasets/wiki",
    ]
    monkeypatch.setenv(ALLOWED_PREFIXES, ", ".join([*prefixes, "postgresql://db:5432/results"]))
    monkeypatch.chdir(folder)
    return folder


def test_uris_below_a_prefix_are_allowed(allowed: Path) -> None:
    for file in (f"{allowed}/a.txt", "a.txt", "*.txt", f"file://{allowed}/x/../a.txt"):
        check_file_allowed(file)
    for file in ("s3://bucket/texts/a?.txt", "https://h/texts/a", "https://H:443/texts/a%20b?c=d"):
        check_file_allowed(file)
    check_file_allowed(f"zip://x/*.txt::{allowed}/a.zip")
    check_file_allowed("zip://x.csv::zip://y.zip::s3://bucket/texts/a.zip")
    for folder in (str(allowed), ".", "s3://bucket/texts", "postgresql://db:5432/results"):
        check_folder_allowed(folder)
    check_model_allowed("google/electra-small-discriminator")
    check_model_allowed("a.txt")  # it exists, so it is not a hub name
    check_dataset_allowed("wiki/wikipedia")
    fetch(UrlFile(url="a.txt"))


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd",
        "../texts-of-others/b.txt",
        "../texts-of-others/*.txt",
        "*/../../texts-of-others/b.txt",
        "file://../texts-of-others/b.txt",
        "local:///etc/passwd",
        "file:/etc/passwd",
        "local:../texts-of-others/b.txt",
        "zip://a::file:/etc/a.zip",
        "~/a.txt",
        "s3://bucket/texts-of-others/a.txt",
        "s3://bucket/texts/../others/a.txt",
        "s3://bucket/others/../texts/a.txt",  # a key may hold .. as any other text
        "s3://other/texts/a.txt",
        "gs://bucket/texts/a.txt",
        "http://h/texts/a",
        "https://h.evil/texts/a",
        "https://h@evil/texts/a",
        "https://h:444/texts/a",
        "https://h/texts/%2e%2e/a",
        "https://h/texts/*.txt",
        "http://169.254.169.254/latest/meta-data/",
        "zip://a::https://h/texts/a.zip",
        "zip://a::/etc/a.zip",
        "simplecache::s3://bucket/texts/a.txt",
        "reference://::s3://bucket/texts/a.json",
        "a.txt::s3://bucket/texts/a.txt",
    ],
)
def test_a_file_elsewhere_is_refused_before_it_is_opened(allowed: Path, file: str) -> None:
    with pytest.raises(ValueError, match="this server does not allow this URI") as caught:
        expand(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="does not allow"):
        fetch(UrlFile(url=file))


def test_names_with_colons_are_checked_too(allowed: Path, tmp_path: Path) -> None:
    check_file_allowed(f"{allowed}/std::vector.txt")
    for place in (
        f"{tmp_path}/std::{allowed}/a.txt",
        f"{allowed}/../a::b.txt",
        f"zip://a::b.txt::{tmp_path}/a.zip",
    ):
        with pytest.raises(ValueError, match="does not allow"):
            check_file_allowed(place)


def test_links_are_resolved_also_if_created_later(allowed: Path, tmp_path: Path) -> None:
    link = allowed / "link.txt"
    link.symlink_to(tmp_path / "texts-of-others" / "b.txt")
    with pytest.raises(ValueError, match="does not allow"):
        expand(str(link))
    (found,) = expand(f"{allowed}/l*.txt")
    with pytest.raises(ValueError, match="does not allow"):
        fetch(found)
    file = fetch(UrlFile(url=str(allowed / "a.txt")))
    (allowed / "a.txt").unlink()
    (allowed / "a.txt").symlink_to(tmp_path / "texts-of-others" / "b.txt")
    with pytest.raises(ValueError, match="does not allow"):
        file.open()


@pytest.mark.parametrize("place", ["someone/model", "/etc", "s3://other/m", "https://h/texts/m"])
def test_models_elsewhere_are_refused(allowed: Path, place: str) -> None:
    with pytest.raises(ValueError, match="does not allow"), model_directory(place, generator=False):
        pass
    with pytest.raises(ValueError, match="does not allow"):
        find_model(place)


def test_data_sets_elsewhere_are_refused(allowed: Path) -> None:
    for place in ("someone/data", "/etc"):
        with pytest.raises(ValueError, match="does not allow"):
            hub.plan_dataset(HubSource(path=place))


def test_a_data_set_cannot_name_files_outside_of_it(allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "others.jsonl").write_text('{"text": "of others"}\n')
    (allowed / "data").mkdir()
    (allowed / "data" / "mine.jsonl").write_text('{"text": "mine"}\n')
    card = "configs: [{{config_name: default, data_files: [{{split: train, path: {}}}]}}]"
    source = HubSource(path=str(allowed / "data"))
    for path in (str(tmp_path / "others.jsonl"), "../../others.jsonl"):
        (allowed / "data" / "README.md").write_text(f"---\n{card.format(path)}\n---\n")
        with pytest.raises(ValueError, match=r"others\.jsonl: this server does not allow"):
            hub.plan_dataset(source)
    (allowed / "data" / "README.md").write_text(f"---\n{card.format('mine.jsonl')}\n---\n")
    (partition,) = hub.plan_dataset(source)
    assert [text for text, *_ in partition.read()] == ["mine"]


class Redirects(http.server.BaseHTTPRequestHandler):
    """Redirects every request for /texts/... to /secret, and records the requests."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302 if self.path.startswith("/texts/") else 200)
        self.send_header("Location", "/secret")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def redirects() -> Iterator[str]:
    Redirects.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_redirect_to_elsewhere_is_not_followed(
    redirects: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path))
    monkeypatch.setenv(ALLOWED_PREFIXES, f"{redirects}/texts/")
    with pytest.raises(ValueError, match="/secret: this server does not allow"):
        fetch(UrlFile(url=f"{redirects}/texts/a"))
    assert Redirects.asked == ["/texts/a"]
    monkeypatch.setenv(ALLOWED_PREFIXES, redirects)
    fetch(UrlFile(url=f"{redirects}/texts/a"))
    assert Redirects.asked[-2:] == ["/texts/a", "/secret"]


FILE = "/etc/passwd"


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("root", {"root": "/srv"}),
        ("database", {"database": "sqlite:////srv/results.db"}),
        ("database", {"database": "postgresql://me:s3cret@elsewhere/results"}),
        ("database", {"database": "postgresql://db:5432/x@elsewhere/results"}),
        ("database", {"database": "postgresql://db/results?host=elsewhere"}),
        ("corpus.sources.0.urls", {"corpus": {"sources": [{"type": "files", "urls": [FILE]}]}}),
        (
            "corpus.sources.0.urls",
            {"corpus": {"sources": [{"type": "files", "urls": [{"url": FILE}]}]}},
        ),
        ("corpus.sources.0.path", {"corpus": {"sources": [{"type": "hub", "path": "a/b"}]}}),
        (
            "corpus.decontaminate.files",
            {
                "corpus": {
                    "sources": [{"type": "files", "urls": ["a.txt"]}],
                    "decontaminate": {"files": [FILE]},
                }
            },
        ),
        ("tokenizer.initialize_from", {"tokenizer": {"initialize_from": "a/b"}}),
        ("pretrain.initialize_from", {"pretrain": {"initialize_from": "/srv/model"}}),
        (
            "pretrain.initialize_from",
            {"pretrain": {"initialize_from": {"discriminator": "google/d", "generator": "a/b"}}},
        ),
        ("finetune.data", {"finetune": {"tasks": ["cola"], "data": "/srv/glue"}}),
        ("finetune.baselines", {"finetune": {"tasks": ["cola"], "baselines": ["random", "a/b"]}}),
        (
            "finetune.tasks: mine",
            {"finetune": {"tasks": [{"name": "mine", "type": "classification", "train": FILE}]}},
        ),
    ],
)
def test_every_uri_of_a_configuration_is_checked_before_work_starts(
    allowed: Path, key: str, change: dict[str, object]
) -> None:
    config = PipelineConfig.model_validate({"name": "x", "root": str(allowed), **change})
    with pytest.raises(ValueError, match=f"^{key}: .*this server does not allow") as caught:
        check_uris(config)
    assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_allowed_configuration_passes(allowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "name": "x",
        "root": "s3://bucket/texts/runs",
        "database": "postgresql+psycopg://me:s3cret@db/results",
        "corpus": {
            "sources": [
                {"type": "files", "urls": ["*.txt", {"url": "https://h/texts/a.txt"}]},
                {"type": "hub", "path": "wiki/wikipedia"},
                {"type": "package", "requirement": "a==1", "sha256": "0" * 64, "member": "a.txt"},
            ]
        },
        "tokenizer": {"initialize_from": "google/electra-small-discriminator"},
    }
    check_uris(PipelineConfig.model_validate(values))
    monkeypatch.setenv(ALLOWED_PREFIXES, "")
    with pytest.raises(ValueError, match="allowed is nothing"):
        check_uris(PipelineConfig.model_validate(values))
    monkeypatch.delenv(ALLOWED_PREFIXES)
    check_uris(PipelineConfig.model_validate(values))


def test_a_password_in_a_root_is_refused_anywhere() -> None:
    config = PipelineConfig(name="x", root="sftp://me:s3cret@host/runs")
    with pytest.raises(ValueError, match=r"^root: sftp://me:\*\*\*@host/runs contains a password"):
        check_uris(config)


def test_the_location_of_a_database_is_that_of_its_driver() -> None:
    assert database_location("sqlite://") is None
    assert database_location("sqlite:///a/b.db") == "a/b.db"
    assert database_location("postgresql://db:5432/x@host/db") == "postgresql://host:5432/db"


@pytest.mark.parametrize("name", ["ds*", "ds?", "ds [v1]", "a::b"])
def test_a_dataset_path_that_datasets_would_read_as_a_pattern_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name / "below").mkdir(parents=True)
    (tmp_path / "plain #1").mkdir()
    check_dataset_allowed(str(tmp_path / "plain #1"))
    with pytest.raises(ValueError, match="reads its path as a pattern"):
        check_dataset_allowed(str(tmp_path / name))
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(ValueError, match="reads its path as a pattern"):
        check_dataset_allowed("below")
