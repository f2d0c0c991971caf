"""Words with tags in columns: CoNLL, CoNLL-U, GermEval, WNUT and files of one's own."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from electra_pipeline.tasks.data.cells import checked_text, label_in
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.task import Task

DOCUMENT = "-DOCSTART-"  # CoNLL-2003, AIDA; alone, or with more behind it
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
    used = [word_column, tag_column] if labelled else [word_column]
    names: dict[str, str] = {}
    found: list[TaggedExample] = []
    is_counted = word_column == 0
    for number, rows in enumerate(_sentences(lines, word_column, tag_column)):
        _check_rows(rows, used, name)
        numbers = [cells[0] for _, cells in rows if len(cells) > 2 and not RANGE.match(cells[0])]
        is_counted = is_counted and numbers == [str(n + 1) for n in range(len(numbers))] != []
        words = tuple(cells[word_column] for _, cells in rows)
        if not labelled:
            found.append(TaggedExample(str(number), words, (NO_TAG,) * len(words)))
            continue
        tags = []
        for line, cells in rows:
            if (tag := cells[tag_column]) not in names:
                names[tag] = label_in(task, tag, tag_column, f"{name}:{line}")
            tags.append(names[tag])
            if task.labels and not is_allowed(task, names[tag], f"{name}:{line}", dropped):
                break
        else:
            found.append(TaggedExample(str(number), words, tuple(tags)))
    if is_counted and any(len(example.words) > 1 for example in found):
        raise ValueError(
            f"{name}: the first column counts the words of each sentence; set text_column to 1 and "
            "label_column to that of the tags (CoNLL-U: 3 for UPOS, 4 for XPOS)"
        )
    prefix = _language(word for example in found for word in example.words)
    for example in found:
        words = tuple(word.removeprefix(prefix) for word in example.words)
        yield replace(example, words=words) if prefix else example


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
        f"{place}: label {label!r} is none of {allowed}; repair the row, add it to labels, or set "
        "other_labels to drop"
    )


def _sentences(lines: Sequence[str], word_column: int, tag_column: int) -> Iterator[list[Row]]:
    # A byte order mark may stand anywhere: the last line of WNUT 2017's dev file is one.
    lines = [_trimmed(line.replace("\ufeff", "")) for line in lines]
    if (word_column, tag_column) == (0, -1) and (mark := _mark(lines)):
        for number, line in enumerate(lines, start=1):
            if not _is_between(line):
                yield [(number, cell.rsplit(mark, 1)) for cell in line.split()]
        return
    layout = Layout.of(lines, tag_column)
    sentence: list[Row] = []
    for number, line in enumerate([*lines, ""], start=1):
        if _is_between(line):
            if sentence:
                yield sentence
            sentence = []
        elif not (line.startswith("#") and layout.is_comment(line, at_start=not sentence)):
            cells = layout.cells(line)
            if word_column == 0 or not RANGE.fullmatch(cells[0]):
                sentence.append((number, cells))


def _trimmed(line: str) -> str:
    """A line without blanks around it; where one by itself is a word (KLUE-NER), it stays."""
    line = line.rstrip(" \t\r")
    trimmed = line.lstrip(" ")
    return f" {trimmed}" if trimmed.startswith("\t") and line != trimmed else trimmed


def _mark(lines: Sequence[str]) -> str | None:
    """What parts each word from its tag where a line is a sentence: `The/DT cat/NN`."""
    rows = [line.split() for line in lines if not _is_between(line)]
    if max(map(len, rows), default=0) < 2:
        return None
    words = [cell for cells in rows for cell in cells]
    return next((m for m in "/_" if all(all(cell.rpartition(m)) for cell in words)), None)


def _is_between(line: str) -> bool:
    """Whether a line parts sentences."""
    return not line or line.isspace() or line.startswith(DOCUMENT)


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
        plain = [line for line in lines if not (_is_between(line) or line.startswith("#"))]
        at_blanks = cls._cut(plain, tag_column, by_tab=False)
        if not any("\t" in line for line in plain):
            return at_blanks
        at_tabs = cls._cut(plain, tag_column, by_tab=True)
        odd = [line for line in plain if len(at_tabs.cells(line)) != at_tabs.num_columns]
        is_even = all(len(at_blanks.cells(line)) == at_blanks.num_columns for line in plain)
        known = (at_blanks._tag(at_blanks.cells(line)) in at_tabs.tags for line in odd)
        return at_blanks if odd and is_even and all(known) else at_tabs

    @classmethod
    def _cut(cls, plain: Sequence[str], tag_column: int, *, by_tab: bool) -> "Layout":
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
        # at space and tab and at no other space: those are parts of words
        return [cell for cell in line.replace("\t", " ").split(" ") if cell]

    def is_comment(self, line: str, *, at_start: bool) -> bool:
        """Whether a line that begins with `#` has no word; `at_start` if none is before it."""
        cells = self.cells(line)
        if len(cells) != self.num_columns:
            return bool(COMMENT.match(line)) and (at_start or line.startswith(("# ", "#\t")))
        # `# id 5 domain=en` has as many parts as its lines have columns (MultiCoNER, KLUE)
        is_marked = cells[0].startswith(("# ", "## ")) if self.by_tab else cells[0] == "#"
        return at_start and is_marked and self._tag(cells) not in {*self.tags, "#"}

    def _tag(self, cells: Sequence[str]) -> str:
        at = self.tag_column
        return cells[at] if -len(cells) <= at < len(cells) else NO_TAG


def _language(words: Iterable[str]) -> str:
    """What WikiANN puts before each word, such as `en:`; nothing if one word is without it."""
    prefixes = {match[0] if (match := LANGUAGE.match(word)) else "" for word in words}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _check_rows(rows: Sequence[Row], used: Sequence[int], name: str) -> None:
    """Raise ValueError unless each line has the used columns, and something in them."""
    width = max(len(used), *(c + 1 if c >= 0 else -c for c in used))
    first, usual = rows[0]
    for number, cells in rows:
        if len(cells) < width:
            problem = f"has {len(cells)} columns, {width} are needed for a word and its tag"
        elif len(cells) != len(usual) and min(used) < 0:  # the last of which is the tag's?
            problem = f"has {len(cells)} columns, line {first} of its sentence has {len(usual)}"
        elif not (cells[used[0]] and cells[used[-1]]):
            problem = "has an empty word or tag"
        else:
            continue
        raise ValueError(f"{name}:{number}: {' '.join(cells)!r} {problem}; repair the line")
    checked_text("".join([cell for _, cells in rows for cell in cells]), "it", f"{name}:{first}")
