"""Chains of fsspec: a path read through another one, as in `zip://member.txt::archive.zip`."""

import re

# What fsspec reads through another path, and so may stand before ::
_HEAD = re.compile(
    "(zip|tar|libarchive|dir|reference)://.*|(simplecache|filecache|blockcache|cached)(://.*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_chain(url: str) -> bool:
    """Whether `::` separates the parts of a chain in this URL."""
    return bool(split_chain(url)[0])


def split_chain(url: str) -> tuple[list[str], str]:
    """The heads of an fsspec chain, and the path or URL that it ends with.

    `::` is also a part of names (`std::vector.txt`, in an archive as well as outside): only what
    fsspec reads through another place is a head.
    """
    heads: list[str] = []
    first, *rest = url.split("::")
    if not rest or not _HEAD.fullmatch(first):
        return [], url
    heads = [first]
    while len(rest) > 1:
        if _HEAD.fullmatch(rest[0]):
            heads.append(rest.pop(0))
        elif _SCHEME.match(rest[0]):
            break
        else:
            heads[-1] += f"::{rest.pop(0)}"
    return heads, "::".join(rest)
