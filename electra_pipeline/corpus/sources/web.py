"""Read web archives: pages (WARC), which are converted to text, and extracted text (WET).

Every record becomes a document, or one with a `problem`, so that all are counted.
"""

from collections.abc import Iterator

from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.html_text import exceeds_bounds, main_content
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.web.charset import decode
from electra_pipeline.inputs.web.http_response import PageError, Response, parse_response, unpack
from electra_pipeline.inputs.web.media_type import (
    classify,
    declared_kind,
    essence_and_charset,
    looks_like_html,
    reason_of_bytes,
    reason_of_type,
)
from electra_pipeline.inputs.web.warc import WarcRecord, read_records

# https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/#warc-record-types
RECORD_TYPES = {
    *("warcinfo", "response", "resource", "request"),
    *("metadata", "revisit", "conversion", "continuation"),
}
FETCHED = ("http:", "https:", "ftp:", "ftps:", "file:")
PAGE_STATUS = {200, 203}  # 203: modified by a proxy


def read_warc(file: SourceFile) -> Iterator[RawDocument]:
    """Yield a document for each record, in the archive's order: the main content of each page.

    Pages are HTML or plain text in responses of status 200 and in resources. Other records
    (requests, redirects, images, feeds) become documents with a `problem`, as do pages that cannot
    be converted. Raises ValueError with file and position for a truncated or damaged archive.
    """
    with file.open() as stream:
        for record in read_records(stream, file.name):
            try:
                text, is_truncated = _page_text(record)
                yield RawDocument(text, record.uri, is_truncated=is_truncated)
            except PageError as error:
                yield RawDocument("", record.uri, error.reason, error.value)


def read_wet(file: SourceFile) -> Iterator[RawDocument]:
    """Yield a document for each record: the text of conversions, others with a `problem`.

    Raises ValueError as `read_warc` does.
    """
    with file.open() as stream:
        for record in read_records(stream, file.name):
            if record.kind == "conversion":
                _, label = essence_and_charset(record.media_type)
                text = decode(record.block, label, is_markup=False)
                yield RawDocument(text, record.uri, is_truncated=record.is_truncated)
            else:
                yield RawDocument("", record.uri, _unused(record))


def _unused(record: WarcRecord) -> str:
    return f"warc_{record.kind if record.kind in RECORD_TYPES else 'other'}"


def _page_text(record: WarcRecord) -> tuple[str, bool]:
    """Return the text of a page and whether it is truncated. Raises PageError for other records."""
    response = _response(record)
    if response.status not in PAGE_STATUS:
        raise PageError(f"http_{response.status // 100}xx", str(response.status))
    essence, label = essence_and_charset(response.headers.get("content-type", ""))
    declared = declared_kind(essence)
    if declared == "unknown" and record.payload_type:
        identified, _ = essence_and_charset(record.payload_type)
        essence, declared = identified, declared_kind(identified)
    if declared is None:
        raise PageError(reason_of_type(essence), essence)
    body, is_cut = unpack(response)
    if reason := reason_of_bytes(body):
        raise PageError(reason)
    text = decode(body, label, is_markup=declared != "text" or looks_like_html(body))
    kind = classify(text, declared, record.uri)
    if kind == "text":
        return text, is_cut or record.is_truncated
    if kind != "html":
        raise PageError(kind)
    if exceeds_bounds(text):
        raise PageError("html_too_deep")
    return main_content(text), is_cut or record.is_truncated


def _response(record: WarcRecord) -> Response:
    """Return the HTTP response of a record; a resource becomes a response without headers."""
    if record.kind not in ("response", "resource"):
        raise PageError(_unused(record))
    is_resource = record.kind == "resource"
    # Crawlers store their own logs and settings under URIs such as metadata:, urn:, dns:.
    if is_resource and record.uri and not record.uri.lower().startswith(FETCHED):
        raise PageError(_unused(record))
    if (response := parse_response(record.block)) is not None:
        return response
    if is_resource:
        return Response(200, {"content-type": record.media_type}, record.block)
    if looks_like_html(record.block):  # HTTP/0.9, or stored without headers
        return Response(200, {}, record.block)
    raise PageError("no_http_response")
