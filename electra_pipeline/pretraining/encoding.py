"""A document's text -> sentences -> token ids, a bounded amount of text at a time."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from sentencex import segment
from tokenizers import Tokenizer

Split = Literal["sentences", "lines"]

# The tokenizer holds about 100 bytes a token and 16 a character: this much text is some 3 MB.
CHARACTERS_AT_ONCE = 65_536


def split_text(text: str, language: str | None, split: Split) -> Iterator[str]:
    """The sentences of a document, or its lines; none is blank.

    A line ends a sentence. A language that sentencex has no rules for is read with those of the
    language it falls back on, in the end English.
    """
    for line in text.split("\n"):
        units = [line] if split == "lines" else segment(language or "en", line)
        yield from (unit for unit in units if unit.strip())


def token_ids(
    sentences: Iterable[str], tokenizer: Tokenizer, at_once: int = CHARACTERS_AT_ONCE
) -> Iterator[list[int]]:
    """Ids of each sentence without special tokens, from about `at_once` characters at a time.

    A longer sentence is encoded in parts that end before a space, where a word ends anyway: the ids
    are those of the whole. Only `at_once` more characters without a space are cut all the same.
    """
    part = re.compile(rf"(?s).{{1,{at_once}}}[^ ]{{0,{at_once}}}")
    for group in _groups(sentences, at_once):
        if len(group) == 1:
            parts = (tokenizer.encode(p, add_special_tokens=False) for p in part.findall(group[0]))
            yield [identifier for encoding in parts for identifier in encoding.ids]
        else:
            encodings = tokenizer.encode_batch_fast(group, add_special_tokens=False)
            yield from (encoding.ids for encoding in encodings)


def _groups(sentences: Iterable[str], at_once: int) -> Iterator[list[str]]:
    """Sentences in order, in groups of at most `at_once` characters or of one sentence."""
    group: list[str] = []
    num_characters = 0
    for sentence in sentences:
        if group and num_characters + len(sentence) > at_once:
            yield group
            group, num_characters = [], 0
        group.append(sentence)
        num_characters += len(sentence)
    if group:
        yield group
