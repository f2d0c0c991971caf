"""Text of a document -> sentences -> token ids, with bounded memory."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from tokenizers import Tokenizer

from electra_pipeline.text.sentences import split_sentences
from electra_pipeline.text.tokenization import batches_of_texts, splits_at_spaces

Split = Literal["sentences", "lines"]

# The tokenizer uses about 100 bytes per token and 16 per character: 3 MB for this much text.
CHARACTERS_AT_ONCE = 65_536
# Total length of the words in the cache: 120,000 words in English, in 27 MB.
CACHED_CHARACTERS = 1 << 20


def split_text(text: str, language: str | None, split: Split) -> Iterator[str]:
    """Yield the sentences of a document, or its lines, without blank ones.

    The end of a line ends a sentence.
    """
    for line in text.split("\n"):
        units = [line] if split == "lines" else split_sentences(line, language)
        yield from (unit for unit in units if unit.strip())


class SentenceEncoder:
    """Encodes sentences to the token ids of a tokenizer, without special tokens.

    With the pre-tokenizer of this pipeline or BERT's, a space ends a word, and the normalization of
    a word does not depend on other words. So the ids of a sentence are those of the parts between
    its spaces, and most parts are found in a cache. For a tokenizer with other rules, whole
    sentences are encoded.
    """

    num_unknown: int
    """Characters of the sentences so far that became the unknown token."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        at_once: int = CHARACTERS_AT_ONCE,
        max_cached: int = CACHED_CHARACTERS,
    ) -> None:
        self._tokenizer = tokenizer
        self._at_once = at_once
        self._max_cached = max_cached
        self._part = re.compile(rf"(?s).{{1,{at_once}}}[^ ]{{0,{at_once}}}")
        self._by_words = splits_at_spaces(tokenizer)
        self._ids_by_word: dict[str, tuple[int, ...]] = {}  # gc does not track tuples of ints
        self._num_cached = 0  # characters
        self._unknown = tokenizer.token_to_id("[UNK]")
        self._unknown_by_word: dict[str, int] = {}  # characters; words with none are left out
        self.num_unknown = 0

    def encode(self, sentences: Iterable[str]) -> Iterator[list[int]]:
        """Yield the ids of each sentence; about `at_once` characters are encoded together.

        A longer sentence is encoded in parts that end before a space, where a word ends anyway, so
        the ids are those of the whole. It is cut inside a word only after `at_once` more characters
        without a space.
        """
        for group in batches_of_texts(sentences, self._at_once):
            if len(group) == 1:
                parts = self._part.findall(group[0])
                yield list(chain.from_iterable(self._ids_of([part])[0] for part in parts))
            else:
                yield from self._ids_of(group)

    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        if self._by_words:
            return self._of_words(texts)
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        for text, text_ids in zip(texts, ids, strict=True):
            if self._unknown in text_ids:  # the fast encoding has no offsets
                whole = self._tokenizer.encode(text, add_special_tokens=False)
                for identifier, (start, stop) in zip(whole.ids, whole.offsets, strict=True):
                    self.num_unknown += (stop - start) * (identifier == self._unknown)
        return ids

    def _of_words(self, texts: list[str]) -> list[list[int]]:
        if self._num_cached > self._max_cached:
            self._ids_by_word.clear()
            self._unknown_by_word.clear()
            self._num_cached = 0
        split = [text.split(" ") for text in texts]
        self._add_to_cache(list(set().union(*split).difference(self._ids_by_word)))
        ids_of = self._ids_by_word.__getitem__
        ids = [list(chain.from_iterable(map(ids_of, words))) for words in split]
        for words, text_ids in zip(split, ids, strict=True):
            if self._unknown in text_ids:
                self.num_unknown += sum(self._unknown_by_word.get(word, 0) for word in words)
        return ids

    def _add_to_cache(self, words: list[str]) -> None:
        # All words as one text: the overhead of a text is larger than the cost of a word.
        encoding = self._tokenizer.encode(" ".join(words), add_special_tokens=False)
        ids, spans = encoding.ids, encoding.offsets
        first = last = end = 0
        for word in words:
            end += len(word) + 1
            while last < len(ids) and spans[last][0] < end:
                last += 1
            self._ids_by_word[word] = of_word = tuple(ids[first:last])
            if self._unknown in of_word:
                self._unknown_by_word[word] = sum(
                    stop - start
                    for identifier, (start, stop) in zip(of_word, spans[first:last], strict=True)
                    if identifier == self._unknown
                )
            first = last
        self._num_cached += end - len(words)
