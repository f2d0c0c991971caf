"""MediaWiki's XML dumps, read as a stream: the articles of any edition of any of its wikis."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, urlsplit
from xml.parsers import expat

from electra_pipeline.corpus.sources.config import RawDocument
from electra_pipeline.corpus.wikitext.convert import MAX_PAGE_CHARACTERS, UnreadableError, to_text
from electra_pipeline.corpus.wikitext.editions import ARTICLES, Edition, edition
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.multistream import open_part
from electra_pipeline.inputs.parts import Part

BLOCK_BYTES = 1 << 18
# What of a page is read, by its path below <page>.
FIELDS = {
    ("title",): "title",
    ("ns",): "namespace",
    ("revision", "model"): "model",
    ("revision", "text"): "text",
}
# Characters that MediaWiki leaves as they are in an address.
URL_SAFE = "/:@!$*(),;~"
NAMESPACE = ("siteinfo", "namespaces", "namespace")
# What expat calls a text that stops before its last element ends.
CUT = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}


class Page(NamedTuple):
    """A page of a dump. Of several revisions it is the last, in dumps of the whole history."""

    title: str
    namespace: str
    is_redirect: bool
    model: str
    text: str


def read_wikipedia(file: SourceFile, part: Part | None = None) -> Iterator[RawDocument]:
    """A document for each page of a dump, in order: the text of those that are articles.

    A redirect, a page of another namespace and one that cannot be made text have a `problem`.
    `part` is one of `count_dump_parts`, the pages of which one after the other are those of the
    file. Raises ValueError with the file's name for a file that is no such dump, is cut or damaged,
    or declares entities.
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


class _NoDumpError(ValueError):
    """Well-formed, but not what is to be read."""


class _Dump:
    """Pages out of blocks of XML; holds one block's pages and, of one page, a bounded text."""

    def __init__(self, name: str) -> None:
        self.base = ""
        """Where the pages' addresses begin; empty where the dump does not say."""
        self.names = edition("en")
        """Names of the wiki's language, and those that the dump has of itself."""
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
        try:
            self._parser.Parse(block, not block)
        except _NoDumpError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:  # the latter: odd encodings
            end = "".join(f"</{tag}>" for tag in reversed(self._path))
            if not block and end and getattr(error, "code", None) in CUT:
                raise ValueError(
                    f"{self._name}: not a whole XML dump: it ends within <{self._path[-1]}>; "
                    f"download it again or, if it was cut on purpose (enwik8), append {end}"
                ) from error
            raise ValueError(
                f"{self._name}: not a whole XML dump ({error}); download it again"
            ) from error

    def take(self) -> list[Page]:
        pages, self._pages = self._pages, []
        return pages

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "mediawiki":
            raise _NoDumpError(
                f"{self._name}: its XML is no MediaWiki dump: <{tag}> where <mediawiki> is "
                "needed; take a file such as pages-articles.xml.bz2"
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
        if field and self._num_characters <= MAX_PAGE_CHARACTERS:  # beyond it, it is dropped
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
        """The name of what the open element holds; empty if it is nothing that is read."""
        path = tuple(self._path[1:])
        if path[:1] == ("page",):
            return FIELDS.get(path[1:], "")
        if path == ("siteinfo", "base"):
            return "base"
        return "name" if path == NAMESPACE else ""

    def _refuse_declarations(self, *declaration: object) -> None:
        # No dump has any; a few lines of them can stand for gigabytes ("billion laughs").
        raise _NoDumpError(
            f"{self._name}: line {self._parser.CurrentLineNumber}: a document type declaration, "
            "which no MediaWiki dump has; refused, as its entities can grow without bound"
        )
