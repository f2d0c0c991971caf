"""Read MediaWiki XML dumps as a stream: the articles of any wiki in any language."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, urlsplit
from xml.parsers import expat

from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.wikitext.convert import MAX_PAGE_CHARACTERS, UnreadableError, to_text
from electra_pipeline.corpus.wikitext.editions import ARTICLES, Edition, edition
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.multistream import open_part
from electra_pipeline.inputs.parts import Part

BLOCK_BYTES = 1 << 18
# The elements that are read, by their path below <mediawiki>.
FIELDS = {
    ("siteinfo", "base"): "base",
    ("siteinfo", "namespaces", "namespace"): "name",
    ("page", "title"): "title",
    ("page", "ns"): "namespace",
    ("page", "revision", "model"): "model",
    ("page", "revision", "text"): "text",
}
# Characters that MediaWiki does not escape in a URL.
URL_SAFE = "/:@!$*(),;~"
# The errors of expat for a document that ends before its last element.
TRUNCATED = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}


class Page(NamedTuple):
    """A page of a dump; its last revision in dumps with the whole history."""

    title: str
    namespace: str
    is_redirect: bool
    model: str
    text: str


def read_wikipedia(file: SourceFile, part: Part | None = None) -> Iterator[RawDocument]:
    """Yield a document for each page of a dump, in order, with the text of articles.

    Redirects, pages of other namespaces and pages that cannot be converted have a `problem`. `part`
    is one of `count_dump_parts`: the pages of all parts, in order, are those of the file. Raises
    ValueError with the file's name for a file that is not a dump, is truncated or damaged, or
    declares entities.
    """
    dump = _Dump(file.name)
    with file.open() if part is None else open_part(file, part) as stream:
        block = b"-"
        while block:
            block = stream.read(BLOCK_BYTES)
            dump.feed(block)
            for page in dump.take():
                yield _document(page, dump.base, dump.names)


def _document(page: Page, base: str, names: Edition) -> RawDocument:
    url = f"{base}/{quote(page.title.replace(' ', '_'), safe=URL_SAFE)}" if base else None
    if page.namespace != ARTICLES:
        return RawDocument("", url, "page_of_other_namespace", page.namespace)
    if page.is_redirect:
        return RawDocument("", url, "redirect")
    if page.model not in ("", "wikitext"):
        return RawDocument("", url, "not_wikitext", page.model)
    try:
        return RawDocument(to_text(page.text, names, page.title), url)
    except UnreadableError as error:
        return RawDocument("", url, problem=error.reason)


class _NotADumpError(ValueError):
    """Well-formed XML that is not a MediaWiki dump."""


class _Dump:
    """Parse pages from blocks of XML; memory holds the pages of one block and a bounded text."""

    def __init__(self, name: str) -> None:
        self.base = ""
        """The beginning of the pages' URLs; empty if the dump does not have it."""
        self.names = edition("en")
        """Names of the wiki's language, and those that the dump declares."""
        self._name = name
        self._pages: list[Page] = []
        self._path: list[str] = []
        self._texts: dict[str, list[str]] = {}
        self._num_characters = 0
        self._is_redirect = False
        self._namespace = ""  # key of the <namespace> that is open
        self._namespaces: dict[str, str] = {}
        self._language = ""
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse_declarations

    def feed(self, block: bytes) -> None:
        """Parse a block; an empty one ends the dump. Raises ValueError as `read_wikipedia`."""
        try:
            self._parser.Parse(block, not block)
        except _NotADumpError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:  # the latter: odd encodings
            end = "".join(f"</{tag}>" for tag in reversed(self._path))
            if not block and end and getattr(error, "code", None) in TRUNCATED:
                raise ValueError(
                    f"{self._name}: not a complete XML dump: it ends within <{self._path[-1]}>; "
                    f"download it again or, if it was truncated on purpose (enwik8), append {end}"
                ) from error
            raise ValueError(
                f"{self._name}: not a complete XML dump ({error}); download it again"
            ) from error

    def take(self) -> list[Page]:
        """Return the pages that were completed since the last call."""
        pages, self._pages = self._pages, []
        return pages

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "mediawiki":
            raise _NotADumpError(
                f"{self._name}: not a MediaWiki dump: it begins with <{tag}>, not <mediawiki>; "
                "use a file such as pages-articles.xml.bz2"
            )
        if not self._path:
            self._language = attributes.get("xml:lang", "")
            self.names = edition(self._language)
        self._path.append(tag)
        if len(self._path) == 2:  # a page, or siteinfo
            self._texts, self._is_redirect = {}, False
        if tag == "redirect":
            self._is_redirect = True
        self._namespace = attributes.get("key", "") if tag == "namespace" else ""
        if field := self._field():
            self._texts[field], self._num_characters = [], 0

    def _characters(self, data: str) -> None:
        field = self._field()
        if field and self._num_characters <= MAX_PAGE_CHARACTERS:  # longer ones are dropped
            self._texts[field].append(data)
            self._num_characters += len(data)

    def _end(self, tag: str) -> None:
        field = self._field()
        self._path.pop()
        if field == "base":
            self.base = "".join(self._texts[field]).strip().rpartition("/")[0]
        elif field == "name":
            self._namespaces["".join(self._texts[field])] = self._namespace
        elif tag == "siteinfo" and len(self._path) == 1:
            host = urlsplit(self.base).hostname or ""  # such as de.wikipedia.org
            names = edition(self._language or host.partition(".")[0])
            self.names = names.with_namespaces(self._namespaces)
        elif tag == "page" and len(self._path) == 1:
            self._pages.append(self._page())

    def _page(self) -> Page:
        fields = {name: "".join(parts) for name, parts in self._texts.items()}
        title, text = fields.get("title", "").strip(), fields.get("text", "")
        # Dumps of before 2013 (export schema 0.3 to 0.5) have neither <ns> nor <redirect/>.
        namespace = fields.get("namespace", self.names.namespace(title)).strip()
        is_redirect = self._is_redirect or self.names.redirect.match(text) is not None
        return Page(title, namespace, is_redirect, fields.get("model", "").strip(), text)

    def _field(self) -> str:
        """Return the name of the open element in `FIELDS`; empty if it is not read."""
        return FIELDS.get(tuple(self._path[1:]), "")

    def _refuse_declarations(self, *declaration: object) -> None:
        # No dump has any; a few lines can expand to gigabytes ("billion laughs").
        raise _NotADumpError(
            f"{self._name}: line {self._parser.CurrentLineNumber}: a document type declaration, "
            "which no MediaWiki dump has; refused, as its entities can grow without bound"
        )
