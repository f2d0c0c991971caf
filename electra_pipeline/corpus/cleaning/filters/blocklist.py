"""The filter `blocklist`: drop documents from unwanted domains."""

import re
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from pydantic import field_validator

from electra_pipeline.corpus.cleaning.filters.filter import Filter, Rejection
from electra_pipeline.corpus.cleaning.filters.text_view import TextView
from electra_pipeline.inputs.files import Sha256, UrlFile, fetch

DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)*")


class ListFile(UrlFile):
    """A file with one domain per line; blank lines and lines that begin with # are skipped."""

    sha256: Sha256
    """Hex sha256 of the stored bytes, which identifies the list in a corpus's fingerprint."""


class Blocklist(Filter):
    """Drop documents whose URL is in one of these domains or their subdomains.

    A document without a URL is kept. Differs from datatrove: no list is included, and words in URLs
    are not checked.
    """

    type: Literal["blocklist"] = "blocklist"
    domains: tuple[str, ...] = ()
    """Domains, such as example.com, which includes news.example.com."""
    files: tuple[ListFile, ...] = ()
    """Files with more domains, each with its digest; every worker reads them."""

    @field_validator("domains")
    @classmethod
    def _are_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_domain(given, "domains") for given in domains)

    def reject(self, view: TextView, language: str | None) -> Rejection | None:
        """Reject a document with a listed domain, which is the value.

        Raises ValueError if a file is missing, has another digest or a line that is not a domain.
        """
        labels = _host(view.url).split(".")
        blocked = _blocked(self)
        for start in range(len(labels)):
            if (domain := ".".join(labels[start:])) in blocked:
                return Rejection("blocked_domain", domain)
        return None


@cache  # once per process: lists may have millions of lines
def _blocked(blocklist: Blocklist) -> frozenset[str]:
    domains = set(blocklist.domains)
    for reference in blocklist.files:
        with fetch(reference).open() as file:
            for number, line in enumerate(file.read().decode().splitlines(), start=1):
                if (given := line.strip()) and not given.startswith("#"):
                    domains.add(_domain(given, f"{reference.url}, line {number}"))
    return frozenset(domains)


def _domain(given: str, origin: str) -> str:
    domain = given.lower().strip(".")
    if not DOMAIN.fullmatch(domain):
        raise ValueError(f"{origin}: {given!r} is not a domain; give its name alone: example.com")
    return domain


def _host(url: str | None) -> str:
    try:
        host = urlsplit(url if url and "//" in url else f"//{url or ''}").hostname
    except ValueError:  # brackets without an IPv6 address
        return ""
    return (host or "").rstrip(".")
