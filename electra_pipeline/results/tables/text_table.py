"""Render rows of cells as a terminal table, Markdown, LaTeX or CSV."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Literal

import orjson
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

TextFormat = Literal["table", "markdown", "latex"]
NOTE_WIDTH = 100
# A rule below the header, of an ASCII character that every terminal and log file can show
BOX = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
TABLE_WIDTH = 1000  # characters; a table is never truncated, even in a pipe

# Columns aligned to the left; all others hold numbers
WORDS = frozenset(
    ("run", "stage", "task", "model", "split", "metric", "trial", "pre-trained model", "verdict")
)
# Characters with a meaning in LaTeX, and those that its older fonts lack
LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "[": "{[}",  # after \\ it would begin an argument
}


def render_table(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    format: TextFormat,
    notes: Sequence[str] = (),
) -> str:
    """Render rows of cells with a header above and notes below.

    Columns other than `WORDS` are aligned to the right. LaTeX is a `tabular` with the rules of the
    booktabs package.
    """
    match format:
        case "markdown":
            below = "".join(f"\n{_markdown_text(note)}\n" for note in notes)
            return _markdown(header, lines) + below
        case "latex":
            below = "".join(f"\\par\\footnotesize {latex_text(note)}\n" for note in notes)
            return _latex(header, lines) + below
        case "table":
            return _table(header, lines) + "".join(f"{fill(note, NOTE_WIDTH)}\n" for note in notes)


def json_text(value: Any) -> str:
    """Return a value as indented JSON with a final line break."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; the first row's keys are the header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def latex_text(text: str) -> str:
    """Escape text for LaTeX; hyphens before digits become minus signs."""
    escaped = "".join(LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _is_number(name: str) -> bool:
    return name not in WORDS


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|")


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        [_markdown_text(name) for name in header],
        ["---:" if _is_number(name) else "---" for name in header],
        *([_markdown_text(cell) for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = "".join("r" if _is_number(name) else "l" for name in header)
    lines = [" & ".join(map(latex_text, cells)) + r" \\" for cells in (header, *rows)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = Table(box=BOX, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in header:
        justify: Literal["left", "right"] = "right" if _is_number(name) else "left"
        table.add_column(Text(name), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a task name is never parsed as markup
    buffer = io.StringIO()
    Console(file=buffer, width=TABLE_WIDTH, color_system=None).print(table)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
