"""MediaWiki dumps: which pages are documents, and what no dump is."""

import bz2
import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.wikipedia import read_wikipedia
from electra_pipeline.inputs.files import SourceFile

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
<siteinfo><sitename>Wikipedia</sitename><base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base>
<namespaces><namespace key="-2" case="first-letter">Medium</namespace><namespace key="0" />
<namespace key="1">Diskussion</namespace><namespace key="6">Datei</namespace>
<namespace key="14">Kategorie</namespace></namespaces></siteinfo>
"""
TAIL = "</mediawiki>\n"


def page(title: str, *texts: str, ns: int = 0, more: str = "", model: str = "wikitext") -> str:
    revisions = "".join(
        f"<revision><id>1</id><contributor><title>x</title></contributor><model>{model}</model>"
        f'<format>text/x-wiki</format><text bytes="1">{text}</text></revision>'
        for text in texts
    )
    return f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{more}{revisions}</page>\n"


PAGES = [
    page(
        "Madrid", "'''Madrid''' ist [[Spanien|spanisch]].[[Datei:a.jpg|mini|b]] [[Kategorie:Stadt]]"
    ),
    page("Diskussion:Madrid", "Nein!", ns=1),
    page("Madird", "#WEITERLEITUNG [[Madrid]]", more='<redirect title="Madrid" />'),
    page("C & A? Größe".replace("&", "&amp;"), "Eins &amp;amp; zwei &lt;ref&gt;x&lt;/ref&gt;."),
    page("Alt", "erste", "zweite"),
    page("Daten", "{}", model="json"),
    page("Kaputt", "&lt;b&gt;" * 20_000),
]
DOCUMENTS = [
    RawDocument("Madrid ist spanisch.", "https://de.wikipedia.org/wiki/Madrid"),
    RawDocument(
        *("", "https://de.wikipedia.org/wiki/Diskussion:Madrid", "page_of_other_namespace", "1")
    ),
    RawDocument("", "https://de.wikipedia.org/wiki/Madird", "redirect"),
    RawDocument("Eins & zwei.", "https://de.wikipedia.org/wiki/C_%26_A%3F_Gr%C3%B6%C3%9Fe"),
    RawDocument("zweite", "https://de.wikipedia.org/wiki/Alt"),
    RawDocument("", "https://de.wikipedia.org/wiki/Daten", "not_wikitext", "json"),
    RawDocument("", "https://de.wikipedia.org/wiki/Kaputt", "unclosed_markup"),
]
DUMP = (HEAD + "".join(PAGES) + TAIL).encode()


def read(folder: Path, data: bytes, name: str = "dump.xml") -> list[RawDocument]:
    (folder / name).write_bytes(data)
    return list(read_wikipedia(SourceFile(name, "", str(folder / name))))


def test_articles_are_documents_and_other_pages_have_a_reason(tmp_path: Path) -> None:
    assert read(tmp_path, DUMP) == DOCUMENTS
    # As multistream dumps are: members of some pages each.
    half = len(DUMP) // 2
    members = bz2.compress(DUMP[:half]) + bz2.compress(DUMP[half:])
    assert read(tmp_path, members, "dump.xml.bz2") == DOCUMENTS


def test_a_dump_without_siteinfo_or_namespaces(tmp_path: Path) -> None:
    old = "<mediawiki><page><title>A</title><revision><text>b</text></revision></page></mediawiki>"
    assert read(tmp_path, old.encode()) == [RawDocument("b", None)]
    assert read(tmp_path, old.encode("utf-16")) == [RawDocument("b", None)]


OLD_HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.3/" xml:lang="%s">
<siteinfo><base>http://x.wikipedia.org/wiki/Main</base><namespaces>
<namespace key="1">Talk</namespace><namespace key="100">Portal</namespace></namespaces></siteinfo>
"""


def old_page(title: str, text: str) -> str:
    return f"<page><title>{title}</title><revision><text>{text}</text></revision></page>\n"


@pytest.mark.parametrize(
    ("language", "others", "redirect"),
    [
        ("en", ["Talk:A", "User talk:A", "Template:A", "Image:A.jpg", "Portal:A"], "#REDIRECT"),
        ("de", ["Diskussion:A", "Bild:A.jpg", "Vorlage:A", "Wikipedia:A"], "#WEITERLEITUNG"),
        ("ru", ["Обсуждение:A", "Шаблон:A", "Категория:A"], "#перенаправление"),
    ],
)
def test_old_dumps_give_articles_alone(
    tmp_path: Path, language: str, others: list[str], redirect: str
) -> None:
    pages = [old_page(title, "no article") for title in others]
    pages += [old_page("Old name", f"{redirect} [[A]]"), old_page("A", "b"), old_page("C: D", "e")]
    dump = OLD_HEAD % language + "".join(pages) + TAIL
    found = read(tmp_path, dump.encode())
    assert [document.text for document in found if document.problem is None] == ["b", "e"]
    assert [document.problem for document in found if document.problem] == [
        *["page_of_other_namespace"] * len(others),
        "redirect",
    ]


def test_names_of_the_dumps_language_hold_in_its_text(tmp_path: Path) -> None:
    text = "A [[Bild:x.jpg|mini|y]] b [[Medium:z]] {{SEITENNAME}} {{enS|c}}[[Kategorie:D]]"
    dump = HEAD + page("Titel", text) + TAIL
    assert read(tmp_path, dump.encode())[0].text == "A b Titel englisch c"
    without = dump.replace(' xml:lang="de"', "")  # then its address tells it
    assert read(tmp_path, without.encode())[0].text == "A b Titel englisch c"


def test_a_purposely_truncated_dump_is_read_with_its_end_tags(tmp_path: Path) -> None:
    cut = DUMP[: DUMP.index(b"zweite")]
    with pytest.raises(ValueError, match=r"within <text>; .* append </text></revis") as caught:
        read(tmp_path, cut)
    end = str(caught.value).rpartition(" ")[2].encode()
    found = read(tmp_path, cut + end)
    assert [document.problem for document in found].count(None) == 3


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_dump_is_refused(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(
        ValueError, match=r"^dump\.xml: not a complete XML dump.* download it again"
    ) as caught:
        read(tmp_path, DUMP[: int(fraction * len(DUMP))])
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^dump\.xml\.gz: ends in the middle of its gzip"):
        packed = gzip.compress(DUMP)
        read(tmp_path, packed[: int(fraction * len(packed))], "dump.xml.gz")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LAUGHS + DUMP.decode(), "line 1: a document type declaration"),
        ("<html><body>404</body></html>", "begins with <html>, not <mediawiki>"),
        ("404 not found", "not a complete XML dump"),
        (HEAD + "<page><title>a</page>" + TAIL, "not a complete XML dump .mismatched tag: line 6"),
        (HEAD + "<page>&nbsp;</page>" + TAIL, "undefined entity"),
        ('<?xml version="1.0" encoding="klingon"?>' + HEAD + TAIL, "not a complete XML dump"),
        ('<?xml version="1.0" encoding="gb18030"?>' + HEAD + TAIL, "not a complete XML dump"),
    ],
)
def test_files_that_are_not_dumps_are_one_line_errors(
    tmp_path: Path, data: str, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^dump\.xml: .*{message}") as caught:
        read(tmp_path, data.encode())
    assert "\n" not in str(caught.value)


def test_memory_is_bounded_by_a_page(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    many = page("A", "word " * 1000) * 1000
    path.write_text(HEAD + many + page("B", "word " * 1_000_000) + TAIL)  # 5 MB each
    tracemalloc.start()
    kept = [
        (len(document.text), document.problem)
        for document in read_wikipedia(SourceFile("", "", str(path)))
    ]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept == [(4_999, None)] * 1000 + [(0, "page_too_large")]
    assert peak < 12_000_000


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_dump_is_read_or_a_one_line_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = (HEAD + "".join(PAGES[:5]) + TAIL).encode()
    start = data.draw(st.integers(0, len(small)))
    end = start + data.draw(st.integers(0, 30))
    noise = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"<", b"&", b"]]>", b"<!DOCTYPE a>"])
    )
    try:
        read(tmp_path_factory.mktemp("fuzz"), small[:start] + noise + small[end:])
    except ValueError as error:
        assert str(error).startswith("dump.xml: ") and "\n" not in str(error)
