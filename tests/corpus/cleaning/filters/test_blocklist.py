import hashlib
from pathlib import Path

import pytest

from electra_pipeline.corpus.cleaning.filters.blocklist import Blocklist, ListFile
from electra_pipeline.corpus.cleaning.filters.registry import identity
from electra_pipeline.corpus.cleaning.filters.text_view import TextView


def judged(rule: Blocklist, url: str | None) -> str | None:
    rejection = rule.reject(TextView("text", url), "en")
    return rejection.value if rejection else None


def list_file(path: Path, content: str) -> ListFile:
    path.write_text(content)
    return ListFile(url=str(path), sha256=hashlib.sha256(content.encode()).hexdigest())


@pytest.mark.parametrize(
    ("url", "blocked"),
    [
        ("https://spam.com/page", True),
        ("http://user@News.SPAM.com:8080/?q=1", True),
        ("spam.com/page", True),
        ("https://spam.com./", True),
        ("https://notspam.com/spam.com", False),
        ("https://spam.com.org/", False),
        ("https://com/", False),
        ("http://[broken", False),
        ("", False),
        (None, False),
    ],
)
def test_domains_and_their_subdomains(url: str | None, blocked: bool) -> None:
    assert judged(Blocklist(domains=("Spam.com",)), url) == ("spam.com" if blocked else None)


def test_lists_are_read_from_files(tmp_path: Path) -> None:
    first = list_file(tmp_path / "a.txt", "# comment\n\nbad.org\n")
    second = list_file(tmp_path / "b.txt", "Worse.net\n")
    rule = Blocklist(domains=("spam.com",), files=(first, second))
    for url in ("https://spam.com", "https://www.bad.org", "https://worse.net"):
        assert judged(rule, url) is not None
    assert judged(rule, "https://good.org") is None


def test_identity_of_a_list_is_its_content_not_its_location(tmp_path: Path) -> None:
    here = Blocklist(files=(list_file(tmp_path / "a.txt", "bad.org\n"),))
    there = Blocklist(files=(list_file(tmp_path / "b.txt", "bad.org\n"),))
    other = Blocklist(files=(list_file(tmp_path / "c.txt", "worse.org\n"),))
    assert identity([here]) == identity([there]) != identity([other])


def test_invalid_domains_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"domains: 'https://x\.com/' is not a domain; give"):
        Blocklist(domains=("https://x.com/",))
    rule = Blocklist(files=(list_file(tmp_path / "a.txt", "good.org\na b\n"),))
    with pytest.raises(ValueError, match=r"a\.txt, line 2: 'a b' is not a domain"):
        judged(rule, "https://x.com")


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    rule = Blocklist(files=(list_file(tmp_path / "a.txt", "bad.org\n"),))
    (tmp_path / "a.txt").write_text("worse.org\n")
    with pytest.raises(ValueError, match="sha256"):
        judged(rule, "https://bad.org")


def test_a_list_without_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="sha256"):
        Blocklist.model_validate({"files": [{"url": "a.txt"}]})
