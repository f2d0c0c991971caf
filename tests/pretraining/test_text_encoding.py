import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Normalizer, Replace
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer

from electra_pipeline.pretraining.text_encoding import SentenceEncoder, split_text
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.text.tokenization import (
    make_normalizer,
    make_pre_tokenizer,
    splits_at_spaces,
)

WORDS = (
    "bat",
    "kerli",
    "mold",
    "nust.",
    "sar",
    "\u00e9t\u00e9",
    "\u4e2d\u6587",
    "\u0e01\u0e01",
    "[CLS]",
    "\n",
    "  ",
)


@pytest.fixture(scope="module")
def reader(tokenizer: Artifact) -> Tokenizer:
    return load_vocabulary(tokenizer).tokenizer


def test_lines_are_taken_as_they_are() -> None:
    text = "One. Two.\n\nThree."
    assert list(split_text(text, "en", "lines")) == ["One. Two.", "Three."]
    found = [sentence.strip() for sentence in split_text(text, "en", "sentences")]
    assert found == ["One.", "Two.", "Three."]


@pytest.mark.parametrize("language", [None, "xx", "th", "zh", "en"])
def test_a_language_without_rules_loses_no_text(language: str | None) -> None:
    text = "\u0e01\u0e02 \u0e04.  \u4f60\u597d\u3002\u518d\u89c1\uff01 bat? Kerl!\n\n \t\nno end"
    found = list(split_text(text, language, "sentences"))
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence.strip() for sentence in found)


@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join), max_size=9),
    st.integers(6, 40),
)
def test_ids_do_not_depend_on_how_much_is_encoded_at_once(
    reader: Tokenizer, sentences: list[str], at_once: int
) -> None:
    whole = [reader.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
    assert list(SentenceEncoder(reader, at_once).encode(sentences)) == whole


def test_a_sentence_longer_than_is_encoded_at_once_is_one_sentence(reader: Tokenizer) -> None:
    sentence = "bat kerst mold " * 20_000
    ids = reader.encode("bat kerst mold", add_special_tokens=False).ids
    assert list(SentenceEncoder(reader).encode(["bat", sentence, "mold"])) == [
        reader.encode("bat", add_special_tokens=False).ids,
        ids * 20_000,
        reader.encode("mold", add_special_tokens=False).ids,
    ]


# Characters that a normalizer or pre-tokenizer looks at: white space and control characters of all
# kinds, punctuation, combining marks in and out of canonical order, letters that lower to two.
NASTY = (
    "aB1 .,-[]_#\t\n\r\x00\x1f\x7f\u00a0\u00ad\u0301\u0316\u0338\u0130\u03a3\u00df\u00e9"
    "\u1100\u1161\u2028\u3000\u200b\u200d\ufeff\ufffd\u4e2d\u0e01\U0001f600\U00020000"
)


@given(
    lowercase=st.booleans(),
    strip_accents=st.sampled_from([True, False, None]),
    documents=st.lists(st.lists(st.text(NASTY, max_size=30), max_size=6), max_size=3),
    max_cached=st.integers(0, 60),
)
def test_cached_words_give_the_ids_of_whole_sentences(
    lowercase: bool, strip_accents: bool | None, documents: list[list[str]], max_cached: int
) -> None:
    tokenizer = small_tokenizer(BertNormalizer(True, True, strip_accents, lowercase))
    assert splits_at_spaces(tokenizer)
    encoder = SentenceEncoder(tokenizer, max_cached=max_cached)
    for sentences in documents:
        whole = [tokenizer.encode(text, add_special_tokens=False).ids for text in sentences]
        assert list(encoder.encode(sentences)) == whole


@given(
    lowercase=st.booleans(),
    strip_accents=st.booleans(),
    handle_chinese_chars=st.booleans(),
    language=st.sampled_from([None, "tr"]),
    documents=st.lists(st.lists(st.text(NASTY, max_size=99), max_size=6), max_size=3),
)
def test_cached_words_of_this_pipelines_tokenizer_give_the_ids_of_whole_sentences(
    lowercase: bool,
    strip_accents: bool,
    handle_chinese_chars: bool,
    language: str | None,
    documents: list[list[str]],
) -> None:
    normalizer = make_normalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=handle_chinese_chars,
        language=language,
    )
    tokenizer = small_tokenizer(normalizer, make_pre_tokenizer())
    assert splits_at_spaces(tokenizer)
    encoder = SentenceEncoder(tokenizer)
    for sentences in documents:
        whole = [tokenizer.encode(text, add_special_tokens=False).ids for text in sentences]
        assert list(encoder.encode(sentences)) == whole


@pytest.mark.parametrize("ours", [True, False])
def test_characters_of_unknown_words_are_counted(ours: bool) -> None:
    tokenizer = small_tokenizer(BertNormalizer(strip_accents=False))
    if not ours:
        tokenizer.add_tokens(["q r"])
    assert splits_at_spaces(tokenizer) is ours
    encoder = SentenceEncoder(tokenizer)
    assert list(encoder.encode(["aza B zz.", "a", "zz"]))
    assert encoder.num_unknown == 7
    list(encoder.encode(["zz"]))
    assert encoder.num_unknown == 9


def test_a_tokenizer_that_looks_across_spaces_is_given_whole_sentences() -> None:
    joins_spaces = small_tokenizer(Replace("a B", "1"))
    has_phrase = small_tokenizer(BertNormalizer())
    has_phrase.add_tokens(["a b"])
    for tokenizer in (joins_spaces, has_phrase):
        assert not splits_at_spaces(tokenizer)
        first, second = (tokenizer.encode(text).ids for text in ("a B a b", "b a"))
        assert first != [i for word in ("a", "B", "a", "b") for i in tokenizer.encode(word).ids]
        assert list(SentenceEncoder(tokenizer).encode(["a B a b", "b a"])) == [first, second]


def small_tokenizer(normalizer: Normalizer, pre_tokenizer: PreTokenizer | None = None) -> Tokenizer:
    """Every nasty character is a token, at the start of a word and within it."""
    characters = sorted({form for each in NASTY for form in (each, each.lower())} - {" "})
    tokens = ["[UNK]", *characters, *(f"##{each}" for each in characters)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer or BertPreTokenizer()
    tokenizer.encode_special_tokens = True
    return tokenizer
