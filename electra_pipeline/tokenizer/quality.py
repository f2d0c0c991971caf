"""Quality of a vocabulary: how well it fits a sample of texts."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.text.tokenization import batches_of_texts, parts, splits_at_spaces
from electra_pipeline.text.words import has_spaced_words, split_words

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast
BATCH_CHARACTERS = 100_000  # most texts are words, each of which takes an object


def measure(tokenizer: "PreTrainedTokenizerFast", texts: Iterable[str]) -> dict[str, Any]:
    """Return these measures of a vocabulary on texts.

    num_characters: characters other than white space.
    num_words: words as `text.words` defines them.
    num_pieces: tokens.
    unknown_characters, unknown_fraction: characters that became [UNK], and their fraction.
    characters_per_piece, bytes_per_piece (UTF-8): of the same characters, for each token.
    fertility: tokens per word between white space (Rust et al. 2021, section 4.1; the minimum is
    1.0), over texts in scripts with spaces; None without such texts.
    whole_word_fraction: of the words of these texts, without punctuation, the fraction that are one
    token other than [UNK]; None without such texts.
    vocabulary_coverage: fraction of the vocabulary, without special tokens, that occurs. It grows
    with the text, so compare it for equal num_characters.
    """
    is_split = splits_at_spaces(tokenizer.backend_tokenizer)
    total: Counter[str] = Counter()
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}  # by has_spaced_words
    for text in texts:
        words = split_words(text)
        is_spaced = has_spaced_words(text, words)
        counts[is_spaced].update(parts(text) if is_split else [text])
        total["characters"] += sum(map(len, words))
        total["bytes"] += len("".join(words).encode())
        total["words"] += len(words)
        total["spaced_words"] += is_spaced * len(words)
    occurrences = np.zeros(len(tokenizer), dtype=np.int64)
    for is_spaced, times in counts.items():
        for batch in batches_of_texts(times, BATCH_CHARACTERS):
            found, counted = _tokenize(tokenizer, batch, np.array([times[text] for text in batch]))
            occurrences += found
            total["unknown"] += counted["unknown"]
            if is_spaced:
                total["spaced_tokens"] += int(found.sum())
                total["split_words"] += counted["words"]
                total["whole_words"] += counted["whole_words"]
    spaced = counts[True]
    num_tokens = int(occurrences.sum())
    is_regular = np.ones(len(occurrences), dtype=bool)
    is_regular[tokenizer.all_special_ids] = False
    return {  # manifests keep the keys "..._piece(s)"
        "num_characters": total["characters"],
        "num_words": total["words"],
        "num_pieces": num_tokens,
        "unknown_characters": total["unknown"],
        "unknown_fraction": _ratio(total["unknown"], total["characters"]),
        "characters_per_piece": _ratio(total["characters"], num_tokens),
        "bytes_per_piece": _ratio(total["bytes"], num_tokens),
        "fertility": _ratio(total["spaced_tokens"], total["spaced_words"]) if spaced else None,
        "whole_word_fraction": (
            _ratio(total["whole_words"], total["split_words"]) if spaced else None
        ),
        "vocabulary_coverage": _ratio(
            int((occurrences[is_regular] > 0).sum()), int(is_regular.sum())
        ),
    }


def _tokenize(
    tokenizer: "PreTrainedTokenizerFast", texts: list[str], times: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Count the tokens of texts, each text as often as it occurs; times: (texts,) int64.

    Returns (size of the vocabulary,) the occurrences of each token, and the numbers of: `unknown`
    characters; `words` into which the pre-tokenizer splits the texts; `whole_words`, which are one
    token other than [UNK].
    """
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int64)
    # For each token: the number of its word (nan: none), that of its text, the text's occurrences.
    word = np.array([number for e in encodings for number in e.word_ids], np.float64)
    text = np.repeat(np.arange(len(texts)), list(map(len, encodings)))
    times = times[text]
    occurrences = np.bincount(ids, times, len(tokenizer)).astype(np.int64)
    is_unknown = ids == tokenizer.unk_token_id
    unknown = 0
    if is_unknown.any():
        spans = np.array([span for e in encodings for span in e.offsets], np.int64)[is_unknown]
        unknown = int((times[is_unknown] * (spans[:, 1] - spans[:, 0])).sum())
    is_first = np.ones(len(ids) + 1, bool)
    is_first[1:-1] = (np.diff(word) != 0) | (np.diff(text) != 0)
    is_word = is_first[:-1] & ~np.isnan(word)
    is_whole = is_word & is_first[1:] & ~is_unknown
    return occurrences, {
        "unknown": unknown,
        "words": int(times[is_word].sum()),
        "whole_words": int(times[is_whole].sum()),
    }


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
