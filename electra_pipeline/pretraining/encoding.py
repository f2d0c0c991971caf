"""A document's text -> sentences -> token ids, a bounded amount of text at a time."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Literal

from sentencex import segment
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

Split = Literal["sentences", "lines"]

# The tokenizer holds about 100 bytes a token and 16 a character: this much text is some 3 MB.
CHARACTERS_AT_ONCE = 65_536
# Words of so many characters in all are remembered: 120,000 of them in English, in 27 MB.
REMEMBERED_CHARACTERS = 1 << 20


def split_text(text: str, language: str | None, split: Split) -> Iterator[str]:
    """The sentences of a document, or its lines; none is blank.

    A line ends a sentence. A language that sentencex has no rules for is read with those of the
    language it falls back on, in the end English.
    """
    for line in text.split("\n"):
        units = [line] if split == "lines" else segment(language or "en", line)
        yield from (unit for unit in units if unit.strip())


class Encoder:
    """Sentences -> token ids without special tokens, as the tokenizer gives them for each sentence.

    A space ends a word of BERT's pre-tokenizer, and what its normalizer makes of a word depends on
    no other. So the ids of a sentence are those of what stands between its spaces, and most of that
    was seen before and is remembered. A tokenizer with other rules is given whole sentences.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        at_once: int = CHARACTERS_AT_ONCE,
        max_remembered: int = REMEMBERED_CHARACTERS,
    ) -> None:
        self._tokenizer = tokenizer
        self._at_once = at_once
        self._max_remembered = max_remembered
        self._part = re.compile(rf"(?s).{{1,{at_once}}}[^ ]{{0,{at_once}}}")
        self._by_words = has_words_between_spaces(tokenizer)
        self._ids_by_word: dict[str, tuple[int, ...]] = {}  # tuples, so that gc forgets them
        self._num_remembered = 0  # characters

    def encode(self, sentences: Iterable[str]) -> Iterator[list[int]]:
        """Ids of each sentence, from about `at_once` characters at a time.

        A longer sentence is encoded in parts that end before a space, where a word ends anyway: the
        ids are those of the whole. Only `at_once` more characters without a space are cut all the
        same.
        """
        for group in _groups(sentences, self._at_once):
            if len(group) == 1:
                parts = self._part.findall(group[0])
                yield list(chain.from_iterable(self._ids_of([part])[0] for part in parts))
            else:
                yield from self._ids_of(group)

    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        if self._by_words:
            return self._of_words(texts)
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _of_words(self, texts: list[str]) -> list[list[int]]:
        if self._num_remembered > self._max_remembered:
            self._ids_by_word.clear()
            self._num_remembered = 0
        split = [text.split(" ") for text in texts]
        self._learn(list(set().union(*split).difference(self._ids_by_word)))
        ids_of = self._ids_by_word.__getitem__
        return [list(chain.from_iterable(map(ids_of, words))) for words in split]

    def _learn(self, words: list[str]) -> None:
        # One text of many words: what a text costs by itself is more than what a word costs.
        encoding = self._tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
        ids = iter(encoding.ids)
        num_ids = Counter(encoding.word_ids)
        for number, word in enumerate(words):
            self._ids_by_word[word] = tuple(islice(ids, num_ids[number]))
            self._num_remembered += len(word)


def has_words_between_spaces(tokenizer: Tokenizer) -> bool:
    """Whether the ids of a text are those of what stands between its spaces, one after another."""
    added = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.normalizer, BertNormalizer | None)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        # Special tokens are read as text, but others are looked for before anything is split.
        and tokenizer.encode_special_tokens
        and all(token.special for token in added)
    )


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
