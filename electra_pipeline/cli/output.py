"""Standard output and error: any encoding, closed streams, readers that leave."""

import codecs
import io
import os
import select
import sys
from contextlib import suppress

READER_LEFT = 141  # exit code of a process that SIGPIPE ended, as in `... | head -1`
ESCAPES = "electra_pipeline.escapes"


def prepare() -> None:
    """Let standard output and error accept any text.

    Characters that their encoding lacks are written as JSON escapes (`\\u4e2d`), so that JSON stays
    valid. Text for a closed stream is discarded.
    """
    codecs.register_error(ESCAPES, _escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = text.encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2] for i in range(0, len(units), 2))
    return "".join(f"\\u{unit.hex()}" for unit in pairs), error.end


def can_encode(text: str) -> bool:
    """Whether the encoding of standard output has all characters of `text`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def json_text(text: str) -> str:
    """Return JSON for standard output: as it is in UTF-8, which JSON requires, else as ASCII."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return text if is_utf8 else text.encode("ascii", ESCAPES).decode()


def reader_left(error: Exception) -> bool:
    """Whether an error means that the reader of standard output has left; if so, redirect it.

    The error's class alone is not enough: broken connections to servers have the same.
    """
    if not isinstance(error, BrokenPipeError):
        return False
    with suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # the rest is written there
            return True
    return False
