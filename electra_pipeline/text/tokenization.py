"""Normalizer and pre-tokenizer before WordPiece: the corpus's spelling, words of limited length.

They are built from components that tokenizer.json stores, so that a published tokenizer needs no
code of this package.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from electra_pipeline.text.characters import (
    JOINERS,
    LEADING_VOWELS,
    SKIN_TONES,
    STACKERS,
    UNSPACED,
    ZERO_WIDTH_SPACE,
)
from electra_pipeline.text.normalization import ALWAYS_REMOVED, STRAY

SPECIAL_TOKEN_ROLES = {  # role in transformers -> token, in the order of BERT's vocabulary
    "pad": "[PAD]",
    "unk": "[UNK]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
}
SPECIAL_TOKENS = tuple(SPECIAL_TOKEN_ROLES.values())

# WordPiece tries each prefix of a word, in time quadratic in its length, and replaces words of more
# than 100 characters by [UNK]. In scripts without spaces this limit is about eight words, and takes
# as much time as English; twice the limit gives 1 % fewer tokens.
MAX_WORD = 64
MAX_UNSPACED = 32
OTHER_SPACES = f"[\x1c-\x1e\x85{ZERO_WIDTH_SPACE}]"  # not split by BERT's pre-tokenizer
# Lower case that depends on the language or on adjacent letters (Unicode's SpecialCasing.txt)
DOTTED_I = (("\u0130", "i"), ("I", "\u0131"))
DOTTED_I_LANGUAGES = ("tr", "az")
FINAL_SIGMA = "\u03a3(?<=[\\p{L}\\p{M}]\u03a3)(?!\\p{M}*\\p{L})"
# Emoji and other symbols, except Braille letters; private use, such as icons of a font
SYMBOL = r"\p{So}\p{Co}&&[^\x{2800}-\x{28ff}]"
SYMBOL_ENDS = rf"{SKIN_TONES}\x{{fe0f}}"
WITHIN = rf"[{UNSPACED}\p{{M}}{JOINERS}]"  # continues a run of a script without spaces
NEAR_BOUNDARY = rf"[{UNSPACED}{SYMBOL_ENDS}]|[{SYMBOL}]"  # tested first, as most characters are not
BOUNDARY = (
    rf"(?>(?<={NEAR_BOUNDARY})|(?={NEAR_BOUNDARY}))"
    rf"(?:(?<=[{UNSPACED}])(?!{WITHIN})|(?<!{WITHIN})(?=[{UNSPACED}])"
    rf"|(?<=[{SYMBOL_ENDS}]|[{SYMBOL}])(?=[\p{{L}}\p{{N}}]|[{SYMBOL}])"
    rf"|(?<=[\p{{L}}\p{{N}}\p{{M}}])(?=[{SYMBOL}]))"
)
CLUSTER_END = rf"(?![\p{{M}}{JOINERS}{SKIN_TONES}])(?<![{JOINERS}{STACKERS}])"
IN_WORD = rf"[^\s!-/:-@\[-`{{-~{UNSPACED}]"
TOO_LONG = (
    rf"(?=[{UNSPACED}]{WITHIN}{{{MAX_UNSPACED}}})"
    rf"(?:{WITHIN}{{{MAX_UNSPACED // 2},{MAX_UNSPACED}}}(?=[{LEADING_VOWELS}])"
    rf"|{WITHIN}{{1,{MAX_UNSPACED}}}{CLUSTER_END}|{WITHIN}{{{MAX_UNSPACED}}})"
    rf"|(?={IN_WORD}{{{MAX_WORD + 1}}})"
    rf"(?:{IN_WORD}{{1,{MAX_WORD}}}{CLUSTER_END}|{IN_WORD}{{{MAX_WORD}}})"
)


def make_normalizer(
    *, lowercase: bool, strip_accents: bool, handle_chinese_chars: bool, language: str | None
) -> normalizers.Normalizer:
    """Return the normalizer: like `text.normalization`, optionally lower case, without accents.

    In lower case, Turkish and Azeri (`language`, ISO 639-1) have two letters i. With
    `handle_chinese_chars` each ideograph is surrounded by spaces, as in BERT.
    """
    steps: list[normalizers.Normalizer] = [
        _replace(ALWAYS_REMOVED, ""),
        normalizers.NFC(),
        _replace(STRAY, ""),
        _replace(OTHER_SPACES, " "),
    ]
    if lowercase:
        if language in DOTTED_I_LANGUAGES:
            steps += [normalizers.Replace(upper, lower) for upper, lower in DOTTED_I]
        steps += [_replace(FINAL_SIGMA, "\u03c2"), normalizers.Lowercase()]
    # Again: a letter may now precede its accent, and some compose only in lower case.
    steps += [normalizers.NFC()]
    if handle_chinese_chars:
        steps += [normalizers.BertNormalizer(False, True, False, False)]
    if strip_accents:
        steps += [normalizers.NFD(), _replace(r"\p{Mn}+", ""), normalizers.NFC()]
    return normalizers.Sequence(steps)


def make_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return the pre-tokenizer: BERT's, with splits around symbols and scripts without spaces.

    Words too long for WordPiece are split between grapheme clusters, in Thai and Lao before a
    leading vowel if possible. Apart from the length, whether there is a boundary between two
    characters depends only on these two.
    """
    splits = (pre_tokenizers.Split(Regex(rule), "isolated") for rule in (BOUNDARY, TOO_LONG))
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.BertPreTokenizer()])


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Return whether a text's ids are those of its `parts` concatenated, as for BERT's tokenizer.

    Spaces and line ends then end a word, and the tokens of a word depend on no other word. True for
    tokenizers of this package.
    """
    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    added = tokenizer.get_added_tokens_decoder().values()  # matched before anything is split
    return (
        (
            isinstance(normalizer, normalizers.BertNormalizer | None)
            or _state(normalizer) in _package_normalizers()
        )
        and (
            isinstance(pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            or (pre_tokenizer is not None and _state(pre_tokenizer) == _state(make_pre_tokenizer()))
        )
        and not any(t.lstrip or t.rstrip or t.content.split() != [t.content] for t in added)
    )


def parts(text: str) -> list[str]:
    """Return the parts of `text` between spaces and line ends, including empty ones."""
    return text.replace("\n", " ").split(" ")


def batches_of_texts(texts: Iterable[str], max_characters: int) -> Iterator[list[str]]:
    """Yield consecutive texts in lists, to bound the memory of the tokens of a list.

    A list has at most `max_characters` characters or one text.
    """
    batch: list[str] = []
    num_characters = 0
    for text in texts:
        if batch and num_characters + len(text) > max_characters:
            yield batch
            batch, num_characters = [], 0
        batch.append(text)
        num_characters += len(text)
    if batch:
        yield batch


def _replace(pattern: str, by: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), by)


def _state(component: normalizers.Normalizer | pre_tokenizers.PreTokenizer) -> bytes:
    state: bytes = component.__getstate__()  # JSON, as in tokenizer.json
    return state


@cache
def _package_normalizers() -> frozenset[bytes]:
    languages = (None, DOTTED_I_LANGUAGES[0])
    return frozenset(
        _state(
            make_normalizer(
                lowercase=lowercase,
                strip_accents=strip_accents,
                handle_chinese_chars=handle_chinese_chars,
                language=language,
            )
        )
        for lowercase, strip_accents, handle_chinese_chars in product((True, False), repeat=3)
        for language in languages
    )
