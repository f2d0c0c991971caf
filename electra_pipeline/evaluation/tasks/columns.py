"""Words with tags in columns: CoNLL, CoNLL-U, GermEval, WNUT and files of one's own."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from electra_pipeline.evaluation.problems.tagging import TaggedExample
from electra_pipeline.evaluation.tasks.cells import checked_text, is_blank, label_in
from electra_pipeline.evaluation.tasks.task import Task

DOCUMENT = "-DOCSTART-"  # CoNLL-2003, AIDA; alone, or with more behind it
BLANKS = re.compile(r"[ \t]+")  # and no other space: those are parts of words
RANGE = re.compile(r"\d+[-.]\d+")  # CoNLL-U: the range of a multi-word token, or an empty node
# `# text = ...`, `#begin document (...)`, `#id=5`; but not `#word`
COMMENT = re.compile(r"#+$|#.*[ \t=:;]")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*:(?=.)")
NO_TAG = ""

Row = tuple[int, list[str]]
"""The number of a line and its cells."""


def tagged_columns(
    task: Task, name: str, lines: Sequence[str], dropped: Counter[str], *, labelled: bool = True
) -> Iterator[TaggedExample]:
    """Sentences of lines with a word each, its columns by tab or spaces, blank lines between.

    `-DOCSTART-` lines and comments are skipped, and so are the ranges of multi-word tokens and the
    empty nodes of CoNLL-U. Without labels each word has `NO_TAG`.
    """
    word_column, tag_column = task.columns.text, task.columns.label
    if not isinstance(word_column, int) or not isinstance(tag_column, int):
        raise ValueError(
            f"{name}: columns of words and tags are counted, 0 is the first and -1 the last; "
            f"set text_column ({word_column!r}) and label_column ({tag_column!r}) to numbers"
        )
    sentences = list(_sentences([_clean(line) for line in lines], word_column, tag_column))
    if word_column == 0:
        _refuse_numbers(sentences, name)
    used = [word_column, tag_column] if labelled else [word_column]
    for rows in sentences:
        _check_rows(rows, used, name)
    prefix = _language(cells[word_column] for rows in sentences for _, cells in rows)
    for number, rows in enumerate(sentences):
        words = tuple(cells[word_column].removeprefix(prefix) for _, cells in rows)
        if not labelled:
            yield TaggedExample(str(number), words, (NO_TAG,) * len(words))
            continue
        tags = [
            label_in(task, cells[tag_column], tag_column, f"{name}:{line}") for line, cells in rows
        ]
        if all(
            is_allowed(task, tag, f"{name}:{line}", dropped)
            for tag, (line, _) in zip(tags, rows, strict=True)
        ):
            yield TaggedExample(str(number), words, tuple(tags))


def is_allowed(task: Task, label: str, place: str, dropped: Counter[str]) -> bool:
    """Whether the task has this label, or has no list of them.

    Raises ValueError for others, or counts them where `other_labels` says to drop them.
    """
    if task.labels is None or label in task.labels:
        return True
    if task.other_labels == "drop":
        dropped["other_label"] += 1
        return False
    allowed = ", ".join(task.label_values or task.labels)
    raise ValueError(
        f"{place}: label {label!r} is none of {allowed}; repair the row or add it to labels"
    )


def _clean(line: str) -> str:
    # A byte order mark may stand anywhere: the last line of WNUT 2017's dev file is one.
    return line.replace("\ufeff", "").lstrip(" ").rstrip(" \t\r")


def _sentences(lines: Sequence[str], word_column: int, tag_column: int) -> Iterator[list[Row]]:
    layout = Layout.of(lines, tag_column)
    sentence: list[Row] = []
    for number, line in enumerate([*lines, ""], start=1):
        cells = layout.cells(line)
        if is_blank(line) or line.startswith(DOCUMENT):
            if sentence:
                yield sentence
            sentence = []
        elif not (
            layout.is_comment(line, at_start=not sentence)
            or (word_column != 0 and RANGE.fullmatch(cells[0]))
        ):
            sentence.append((number, cells))


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are cut, as those tell that cannot be comments."""

    by_tab: bool
    num_columns: int
    """Of most lines."""
    tag_column: int
    tags: frozenset[str]

    @classmethod
    def of(cls, lines: Sequence[str], tag_column: int) -> "Layout":
        """The layout in which all lines have the same number of columns; at tabs if in doubt."""
        plain = [
            line for line in lines if not is_blank(line) and not line.startswith(("#", DOCUMENT))
        ]
        at_tabs = cls._cut(plain, tag_column, by_tab=True)
        if any("\t" in line for line in plain):
            odd = [line for line in plain if len(at_tabs.cells(line)) != at_tabs.num_columns]
            at_blanks = cls._cut(plain, tag_column, by_tab=False)
            is_even = all(len(at_blanks.cells(line)) == at_blanks.num_columns for line in plain)
            known = (at_blanks._tag(at_blanks.cells(line)) in at_tabs.tags for line in odd)
            return at_blanks if odd and is_even and all(known) else at_tabs
        return cls._cut(plain, tag_column, by_tab=False)

    @classmethod
    def _cut(cls, plain: Sequence[str], tag_column: int, *, by_tab: bool) -> "Layout":
        empty = cls(by_tab, 0, tag_column, frozenset())
        cut = [empty.cells(line) for line in plain]
        num_columns = max(Counter(map(len, cut)).items(), key=lambda item: item[1], default=(0, 0))
        usual = [cells for cells in cut if len(cells) == num_columns[0]]
        return cls(by_tab, num_columns[0], tag_column, frozenset(map(empty._tag, usual)))

    def cells(self, line: str) -> list[str]:
        if self.by_tab:
            return [cell.strip(" ") for cell in line.split("\t")]
        return BLANKS.split(line)

    def is_comment(self, line: str, *, at_start: bool) -> bool:
        """Whether a line is no word that begins with `#`; `at_start` if no word is before it."""
        if not line.startswith("#"):
            return False
        cells = self.cells(line)
        if len(cells) != self.num_columns:
            return bool(COMMENT.match(line)) and (at_start or line.startswith(("# ", "#\t")))
        # `# id 5 domain=en` has as many parts as its lines have columns (MultiCoNER)
        tag = self._tag(cells)
        return at_start and not self.by_tab and cells[0] == "#" and tag not in {*self.tags, "#"}

    def _tag(self, cells: Sequence[str]) -> str:
        at = self.tag_column
        return cells[at] if -len(cells) <= at < len(cells) else NO_TAG


def _refuse_numbers(sentences: Sequence[Sequence[Row]], name: str) -> None:
    """Raise ValueError if the first column counts the words, as CoNLL-U's and GermEval's does."""
    counted = all(
        [cells[0] for _, cells in rows] == [str(n) for n in range(1, len(rows) + 1)]
        for rows in sentences
    )
    if counted and any(len(rows) > 1 and len(rows[0][1]) > 2 for rows in sentences):
        raise ValueError(
            f"{name}: the first column counts the words of each sentence; set text_column to 1 and "
            "label_column to that of the tags (CoNLL-U: 3 for UPOS, 4 for XPOS)"
        )


def _language(words: Iterable[str]) -> str:
    """What WikiANN puts before each word, such as `en:`; nothing if one word is without it."""
    prefixes = {match[0] if (match := LANGUAGE.match(word)) else "" for word in words}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _check_rows(rows: Sequence[Row], used: Sequence[int], name: str) -> None:
    """Raise ValueError unless each line has the used columns, and something in them."""
    width = max(len(used), *(c + 1 if c >= 0 else -c for c in used))
    first, usual = rows[0]
    for number, cells in rows:
        line = " ".join(cells)
        if len(cells) < width:
            raise ValueError(
                f"{name}:{number}: {line!r} has {len(cells)} columns, {width} are needed for a "
                "word and its tag; repair the line"
            )
        if min(used) < 0 and len(cells) != len(usual):  # the last of which is the tag's?
            raise ValueError(
                f"{name}:{number}: {line!r} has {len(cells)} columns, line {first} of its sentence "
                f"has {len(usual)}; repair the line, or count label_column from 0"
            )
        checked_text(line, "the line", f"{name}:{number}")
        if empty := [column for column in used if not cells[column]]:
            raise ValueError(
                f"{name}:{number}: {line!r} has nothing in column {empty[0]}; repair the line"
            )
