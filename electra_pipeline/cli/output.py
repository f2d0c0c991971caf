"""What the command line writes to: in whatever encoding, and only as long as someone reads."""

import codecs
import io
import os
import select
import sys
from contextlib import suppress

READER_LEFT = 141  # what a shell gives for a process that SIGPIPE ended, as in `... | head -1`
ESCAPES = "electra_pipeline.escapes"


def prepare() -> None:
    """Let standard output and error take any text.

    What their encoding does not have becomes an escape of JSON (`\\u4e2d`), so that lines of JSON
    stay what they are. One that is closed takes everything, and keeps nothing.
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


def takes(text: str) -> bool:
    """Whether standard output has all of these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def json_text(text: str) -> str:
    """JSON as standard output may hold it: in UTF-8, which readers of JSON expect, or in ASCII."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return text if is_utf8 else text.encode("ascii", ESCAPES).decode()


def reader_left(error: Exception) -> bool:
    """Whether an error means that nobody reads standard output any more; if so, it is let go.

    Connections to servers break with the same error.
    """
    if not isinstance(error, BrokenPipeError):
        return False
    with suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        poll = select.poll()
        poll.register(number, select.POLLOUT)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # what is left is written there
            return True
    return False
