"""Sentences with a word and its tag a line: CoNLL, CoNLL-U, GermEval, WNUT, a user's own files."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.values import checked_text, label_value
from electra_pipeline.tasks.kinds.tagging import TaggedExample

DOCUMENT = "-DOCSTART-"  # how a document begins in CoNLL-2003 and AIDA; more may follow
RANGE = re.compile(r"\d+[-.]\d+")  # CoNLL-U: the range of a multi-word token, or an empty node
# `# text = ...`, `#begin document (...)`, `#id=5`; but not `#word`
COMMENT = re.compile(r"#+$|#.*[ \t=:;]")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*:(?=.)")
NO_TAG = ""

Row = tuple[int, list[str]]
"""The number of a line, from 1, and its cells."""


def tagged_sentences(
    context: ReadContext, name: str, lines: Sequence[str]
) -> Iterator[TaggedExample]:
    """Yield the sentences of lines with a word each, separated by blank lines.

    Columns are separated by tabs or spaces. `-DOCSTART-` lines and comments are skipped, and so are
    the ranges of multi-word tokens and the empty nodes of CoNLL-U. Without labels each word has
    `NO_TAG`.
    """
    word_column, tag_column = context.columns.text, context.columns.label
    if not isinstance(word_column, int) or not isinstance(tag_column, int):
        raise ValueError(
            f"{name}: columns of words and tags are positions, 0 the first and -1 the last; "
            f"set text_column ({word_column!r}) and label_column ({tag_column!r}) to numbers"
        )
    used = [word_column, tag_column] if context.labelled else [word_column]
    names: dict[str, str] = {}
    found: list[TaggedExample] = []
    has_word_numbers = word_column == 0
    for number, rows in enumerate(_sentences(lines, word_column, tag_column)):
        _check_rows(rows, used, name)
        numbers = [cells[0] for _, cells in rows if len(cells) > 2 and not RANGE.match(cells[0])]
        has_word_numbers &= numbers == [str(n + 1) for n in range(len(numbers))] != []
        words = tuple(cells[word_column] for _, cells in rows)
        if not context.labelled:
            found.append(TaggedExample(str(number), words, (NO_TAG,) * len(words)))
            continue
        tags = []
        for line, cells in rows:
            if (tag := cells[tag_column]) not in names:
                names[tag] = label_value(context.task, tag, tag_column, f"{name}:{line}")
            tags.append(names[tag])
            if not context.is_allowed(names[tag], f"{name}:{line}"):
                break
        else:
            found.append(TaggedExample(str(number), words, tuple(tags)))
    if has_word_numbers and any(len(example.words) > 1 for example in found):
        raise ValueError(
            f"{name}: the first column counts the words of each sentence; set text_column to 1 and "
            "label_column to that of the tags (CoNLL-U: 3 for UPOS, 4 for XPOS)"
        )
    prefix = _language_prefix(word for example in found for word in example.words)
    for example in found:
        words = tuple(word.removeprefix(prefix) for word in example.words)
        yield replace(example, words=words) if prefix else example


def _sentences(lines: Sequence[str], word_column: int, tag_column: int) -> Iterator[list[Row]]:
    # A byte order mark may be anywhere: the last line of WNUT 2017's dev file is one.
    lines = [_trimmed(line.replace("\ufeff", "")) for line in lines]
    if (word_column, tag_column) == (0, -1) and (separator := _tag_separator(lines)):
        for number, line in enumerate(lines, start=1):
            if not _is_separator(line):
                yield [(number, cell.rsplit(separator, 1)) for cell in line.split()]
        return
    layout = Layout.of(lines, tag_column)
    sentence: list[Row] = []
    for number, line in enumerate([*lines, ""], start=1):
        if _is_separator(line):
            if sentence:
                yield sentence
            sentence = []
        elif not (line.startswith("#") and layout.is_comment(line, at_start=not sentence)):
            cells = layout.cells(line)
            if word_column == 0 or not RANGE.fullmatch(cells[0]):
                sentence.append((number, cells))


def _trimmed(line: str) -> str:
    """Return a stripped line; a leading blank that is a word by itself (KLUE-NER) is kept."""
    line = line.rstrip(" \t\r")
    trimmed = line.lstrip(" ")
    return f" {trimmed}" if trimmed.startswith("\t") and line != trimmed else trimmed


def _tag_separator(lines: Sequence[str]) -> str | None:
    """Return the separator of words and tags if a line is a sentence: `The/DT cat/NN`."""
    rows = [line.split() for line in lines if not _is_separator(line)]
    if max(map(len, rows), default=0) < 2:
        return None
    words = [cell for cells in rows for cell in cells]
    return next((s for s in "/_" if all(all(cell.rpartition(s)) for cell in words)), None)


def _is_separator(line: str) -> bool:
    """Return whether a line separates sentences."""
    return not line or line.isspace() or line.startswith(DOCUMENT)


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are split, inferred from those that cannot be comments."""

    by_tab: bool
    num_columns: int
    """That of most lines."""
    tag_column: int
    tags: frozenset[str]

    @classmethod
    def of(cls, lines: Sequence[str], tag_column: int) -> "Layout":
        """Return the layout in which all lines have equally many columns; tabs if in doubt."""
        plain = [line for line in lines if not (_is_separator(line) or line.startswith("#"))]
        by_blanks = cls._infer(plain, tag_column, by_tab=False)
        if not any("\t" in line for line in plain):
            return by_blanks
        by_tabs = cls._infer(plain, tag_column, by_tab=True)
        odd = [line for line in plain if len(by_tabs.cells(line)) != by_tabs.num_columns]
        is_even = all(len(by_blanks.cells(line)) == by_blanks.num_columns for line in plain)
        has_known_tag = (by_blanks._tag(by_blanks.cells(line)) in by_tabs.tags for line in odd)
        return by_blanks if odd and is_even and all(has_known_tag) else by_tabs

    @classmethod
    def _infer(cls, plain: Sequence[str], tag_column: int, *, by_tab: bool) -> "Layout":
        empty = cls(by_tab, 0, tag_column, frozenset())
        found: dict[int, Counter[str]] = defaultdict(Counter)  # tags by the number of columns
        for line in plain:
            cells = empty.cells(line)
            found[len(cells)][empty._tag(cells)] += 1
        num_columns = max(found, key=lambda width: found[width].total(), default=0)
        return cls(by_tab, num_columns, tag_column, frozenset(found.get(num_columns, ())))

    def cells(self, line: str) -> list[str]:
        if self.by_tab:
            return [cell.strip(" ") or cell[:1] for cell in line.split("\t")]
        # not at other white space, which is part of words
        return [cell for cell in line.replace("\t", " ").split(" ") if cell]

    def is_comment(self, line: str, *, at_start: bool) -> bool:
        """Return whether a line that begins with `#` is a comment, not a word.

        `at_start`: whether it is before the first word of its sentence.
        """
        cells = self.cells(line)
        if len(cells) != self.num_columns:
            return bool(COMMENT.match(line)) and (at_start or line.startswith(("# ", "#\t")))
        # `# id 5 domain=en` can have as many parts as the file has columns (MultiCoNER, KLUE)
        is_hash = cells[0].startswith(("# ", "## ")) if self.by_tab else cells[0] == "#"
        return at_start and is_hash and self._tag(cells) not in {*self.tags, "#"}

    def _tag(self, cells: Sequence[str]) -> str:
        at = self.tag_column
        return cells[at] if -len(cells) <= at < len(cells) else NO_TAG


def _language_prefix(words: Iterable[str]) -> str:
    """Return WikiANN's prefix of every word, such as `en:`; empty if a word is without it."""
    prefixes = {match[0] if (match := LANGUAGE.match(word)) else "" for word in words}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _check_rows(rows: Sequence[Row], used: Sequence[int], name: str) -> None:
    """Raise ValueError unless each line has the used columns, and none of them is empty."""
    width = max(len(used), *(c + 1 if c >= 0 else -c for c in used))
    first, usual = rows[0]
    for number, cells in rows:
        if len(cells) < width:
            problem = f"has {len(cells)} columns; expected {width} or more, for a word and its tag"
        elif len(cells) != len(usual) and min(used) < 0:  # so that the tag's column is unclear
            problem = f"has {len(cells)} columns, line {first} of its sentence has {len(usual)}"
        elif not (cells[used[0]] and cells[used[-1]]):
            problem = "has an empty word or tag"
        else:
            continue
        raise ValueError(f"{name}:{number}: {' '.join(cells)!r} {problem}; repair the line")
    checked_text(
        "".join([cell for _, cells in rows for cell in cells]), "the sentence", f"{name}:{first}"
    )
