"""Messages of exceptions on one line, for errors and log lines that quote them."""


def one_line(error: BaseException, max_characters: int | None = None) -> str:
    """Return the message with all white space as single spaces; the type's name if it is empty."""
    return " ".join(str(error).split())[:max_characters] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of the message, or the type's name if it is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
