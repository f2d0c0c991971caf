"""Documents from domains that nobody wants."""

import re
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.prose import Judgement, Prose
from electra_pipeline.inputs.files import Sha256, UrlFile, fetch

DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)*")


class ListFile(UrlFile):
    """A list of domains, one a line; blank lines and those that begin with # are skipped."""

    sha256: Sha256
    """Hex sha256 of the stored bytes; it stands for the list in a corpus's identity."""


class Blocklist(Config):
    """Drop documents whose address is at one of these domains or below it.

    A document without an address stays. Differs from datatrove: no lists come along, and words in
    addresses are not judged.
    """

    type: Literal["blocklist"] = "blocklist"
    domains: tuple[str, ...] = ()
    """Domains, such as example.com, which means news.example.com too."""
    files: tuple[ListFile, ...] = Field(default=())
    """Files with more of them, each with its digest; workers read them where they run."""

    @field_validator("domains")
    @classmethod
    def _are_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_domain(given, "domains") for given in domains)

    def judge(self, prose: Prose, language: str | None) -> Judgement | None:
        """The domain that the document's address is at, if it is in the list, in any language.

        Raises ValueError if a file is missing, has another digest or a line that is no domain.
        """
        labels = _host(prose.url).split(".")
        blocked = _blocked(self)
        for start in range(len(labels)):
            if (domain := ".".join(labels[start:])) in blocked:
                return Judgement("blocked_domain", domain)
        return None


@cache  # once a process: lists may have millions of lines
def _blocked(blocklist: Blocklist) -> frozenset[str]:
    domains = set(blocklist.domains)
    for reference in blocklist.files:
        with fetch(reference).open() as file:
            for number, line in enumerate(file.read().decode().splitlines(), start=1):
                if (given := line.strip()) and not given.startswith("#"):
                    domains.add(_domain(given, f"{reference.url}, line {number}"))
    return frozenset(domains)


def _domain(given: str, place: str) -> str:
    domain = given.lower().strip(".")
    if not DOMAIN.fullmatch(domain):
        raise ValueError(f"{place}: {given!r} is not a domain; give its name alone: example.com")
    return domain


def _host(url: str | None) -> str:
    try:
        host = urlsplit(url if url and "//" in url else f"//{url or ''}").hostname
    except ValueError:  # brackets that hold no IPv6 address
        return ""
    return (host or "").rstrip(".")
