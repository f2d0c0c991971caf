"""A vocabulary as transformers knows it: taken over, saved, measured."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers.models import WordPiece

from electra_pipeline.storage.location import NO_CODE, tokenizer_directory
from electra_pipeline.text.tokenization import parts, splits_at_spaces
from electra_pipeline.text.tokenizer_files import save_loadable
from electra_pipeline.text.words import has_spaced_words, split_words

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # the order of BERT's vocabulary
MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
BATCH_CHARACTERS = 1_000_000  # some 100 MB of token objects


def take_over(place: str, max_length: int) -> "PreTrainedTokenizerFast":
    """The WordPiece tokenizer at `place` (see `location.tokenizer_directory`), to save as ours.

    It truncates to `max_length` tokens where that is asked for, and never by itself. Raises
    ValueError if there is none, or none that ELECTRA can be trained with.
    """
    from transformers import AutoTokenizer

    with tokenizer_directory(place) as directory:
        try:
            tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(directory, **NO_CODE)
        except Exception as error:  # OSError, ValueError, and Exception itself from tokenizers
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"{place}: cannot be loaded as a tokenizer ({reason}); give a model or tokenizer "
                "of ours, or a directory or hub name with tokenizer.json"
            ) from error
    if not tokenizer.is_fast or not isinstance(tokenizer.backend_tokenizer.model, WordPiece):
        raise ValueError(
            f"{place}: no WordPiece tokenizer ({type(tokenizer).__name__}); "
            "give a tokenizer of a BERT or ELECTRA model"
        )
    pieces = tokenizer.get_vocab()
    roles = tokenizer.special_tokens_map
    for role, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS, strict=True):
        if roles.get(f"{role}_token") != token or token not in pieces:
            raise ValueError(
                f"{place}: its {role} token is {roles.get(f'{role}_token')}, not {token}; "
                "give a tokenizer of a BERT or ELECTRA model"
            )
    if sorted(pieces.values()) != list(range(len(pieces))):
        raise ValueError(
            f"{place}: {len(pieces)} pieces with ids up to {max(pieces.values())}; "
            "every id from 0 must be used once"
        )
    tokenizer.backend_tokenizer.no_truncation()  # it would cut documents without a word
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.model_max_length = max_length
    return tokenizer


def digest(tokenizer: "PreTrainedTokenizerFast") -> str:
    """sha256 of all that decides which ids a text gets; the same wherever the tokenizer lies."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def normalization(tokenizer: "PreTrainedTokenizerFast") -> dict[str, bool]:
    """Whether case is folded and accents are removed, by what becomes of a letter with both."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    letter = "\u00c1" if normalizer is None else normalizer.normalize_str("\u00c1")  # A with acute
    decomposed = unicodedata.normalize("NFD", letter)
    return {
        "lowercase": decomposed.startswith("a"),
        "strip_accents": "\u0301" not in decomposed,
    }


def save(tokenizer: "PreTrainedTokenizerFast", directory: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and, for tools that want it, vocab.txt."""
    save_loadable(tokenizer, directory)  # writes no vocab.txt since transformers 5
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    lines = "".join(f"{piece}\n" for piece in pieces)
    (directory / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")


def measure(tokenizer: "PreTrainedTokenizerFast", texts: Iterable[str]) -> dict[str, Any]:
    """How well a vocabulary fits texts.

    num_characters: those that are not white space; num_words: as `text.words` has them; num_pieces.
    unknown_characters, unknown_fraction: of the characters, those that became [UNK], and their
    share.
    characters_per_piece, bytes_per_piece (UTF-8): of the same characters.
    fertility: pieces for each word between white space (Rust et al. 2021, section 4.1; 1.0 is the
    least), over texts in scripts with spaces; None where there is none of them.
    whole_word_fraction: share of these texts' words, punctuation split off, that are one piece and
    not [UNK]; None likewise.
    vocabulary_coverage: share of the vocabulary, special tokens aside, that occurs; it grows with
    the text, so compare it for equal num_characters.
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
        for batch in batches(times, BATCH_CHARACTERS // 10):  # most are words: an object for each
            found = _pieces(tokenizer, batch, np.array([times[text] for text in batch]))
            occurrences += found.occurrences
            total["unknown"] += found.unknown_characters
            if is_spaced:
                total["spaced_pieces"] += int(found.occurrences.sum())
                total["split_words"] += found.words
                total["whole_words"] += found.whole_words
    spaced = counts[True]
    num_pieces = int(occurrences.sum())
    is_regular = np.ones(len(occurrences), dtype=bool)
    is_regular[tokenizer.all_special_ids] = False
    return {
        "num_characters": total["characters"],
        "num_words": total["words"],
        "num_pieces": num_pieces,
        "unknown_characters": total["unknown"],
        "unknown_fraction": _ratio(total["unknown"], total["characters"]),
        "characters_per_piece": _ratio(total["characters"], num_pieces),
        "bytes_per_piece": _ratio(total["bytes"], num_pieces),
        "fertility": _ratio(total["spaced_pieces"], total["spaced_words"]) if spaced else None,
        "whole_word_fraction": (
            _ratio(total["whole_words"], total["split_words"]) if spaced else None
        ),
        "vocabulary_coverage": _ratio(
            int((occurrences[is_regular] > 0).sum()), int(is_regular.sum())
        ),
    }


class _Pieces(NamedTuple):
    """What becomes of texts, each counted as often as it occurs."""

    occurrences: NDArray[np.int64]
    """(size of the vocabulary,) how often each piece occurs."""
    unknown_characters: int
    words: int
    """Words that the pre-tokenizer splits the texts into."""
    whole_words: int
    """Those that are one piece and not [UNK]."""


def _pieces(
    tokenizer: "PreTrainedTokenizerFast", texts: list[str], times: NDArray[np.int64]
) -> _Pieces:
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int64)
    # Of each piece: its word (nan: none), its text, how often that occurs.
    word = np.array([number for e in encodings for number in e.word_ids], np.float64)
    text = np.repeat(np.arange(len(texts)), list(map(len, encodings)))
    times = times[text]
    occurrences = np.bincount(ids, times, len(tokenizer)).astype(np.int64)
    is_unknown = ids == tokenizer.unk_token_id
    unknown_characters = 0
    if is_unknown.any():
        spans = np.array([span for e in encodings for span in e.offsets], np.int64)[is_unknown]
        unknown_characters = int((times[is_unknown] * (spans[:, 1] - spans[:, 0])).sum())
    is_first = np.ones(len(ids) + 1, bool)
    is_first[1:-1] = (np.diff(word) != 0) | (np.diff(text) != 0)
    is_word = is_first[:-1] & ~np.isnan(word)
    is_whole = is_word & is_first[1:] & ~is_unknown
    return _Pieces(
        occurrences, unknown_characters, int(times[is_word].sum()), int(times[is_whole].sum())
    )


def batches(texts: Iterable[str], characters: int = BATCH_CHARACTERS) -> Iterator[list[str]]:
    """Lists of texts, small enough for their tokens to fit in memory."""
    batch: list[str] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text)
        if num_characters >= characters:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
