import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from electra_pipeline.artifact import Artifact
from electra_pipeline.pretraining.encoding import split_text, token_ids
from electra_pipeline.pretraining.sequences import load_vocabulary

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
    assert list(token_ids(sentences, reader, at_once)) == whole


def test_a_sentence_longer_than_is_encoded_at_once_is_one_sentence(reader: Tokenizer) -> None:
    sentence = "bat kerst mold " * 20_000
    ids = reader.encode("bat kerst mold", add_special_tokens=False).ids
    assert list(token_ids(["bat", sentence, "mold"], reader)) == [
        reader.encode("bat", add_special_tokens=False).ids,
        ids * 20_000,
        reader.encode("mold", add_special_tokens=False).ids,
    ]
