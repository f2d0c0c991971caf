"""Configuration of the tokenizer stage."""

from typing import Any

from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.text.tokenization import DOTTED_I_LANGUAGES, SPECIAL_TOKENS

STAGE = "tokenizer"


class TokenizerConfig(Config):
    """A WordPiece vocabulary. The defaults are those of Google's ELECTRA, but accents are kept."""

    initialize_from: str | None = None
    """An existing tokenizer to use instead of training one: a model or tokenizer of this pipeline,
    a directory, or a name on the Hugging Face hub. Of the other keys only max_length then has an
    effect."""
    vocab_size: int = Field(default=30522, gt=len(SPECIAL_TOKENS))
    """Number of tokens in the vocabulary, including the five special tokens. The trained vocabulary
    has exactly this size."""
    lowercase: bool = True
    """Whether text is lower-cased, by the Unicode rules for `language`."""
    language: str | None = Field(default=None, pattern="^[a-z]{2,3}$")
    """ISO 639-1 code. Turkish and Azeri (tr, az) have a dotted and a dotless i, which lower-casing
    keeps apart. null takes corpus.language."""
    strip_accents: bool = False
    """Whether combining marks are removed, independently of case. BERT's uncased vocabulary does
    this, which turns Spanish n-tilde into n and removes the vowel signs of Hindi."""
    handle_chinese_chars: bool = True
    """Whether each CJK ideograph is a word of its own, as in BERT."""
    min_frequency: int = Field(default=2, ge=1)
    """Minimum number of occurrences of a character, and of a pair that is merged."""
    character_coverage: float = Field(default=0.99999, gt=0.0, le=1.0)
    """Fraction of the text's characters that the alphabet covers. Words with a character outside
    the alphabet become [UNK]."""
    max_training_characters: int = Field(default=1_000_000_000, gt=0)
    """A longer corpus is sampled evenly, by document, to about this number of characters. In
    scripts without spaces, where few words repeat, training takes about 100 bytes of memory for
    each character."""
    max_length: int = Field(default=512, gt=2)
    """Length in tokens to which the saved tokenizer truncates (ELECTRA has 512 positions)."""

    @model_validator(mode="after")
    def _refuse_training_keys_with_initialize_from(self) -> "TokenizerConfig":
        if self.initialize_from is not None:
            allowed = {"initialize_from", "max_length"}
            for key, field in type(self).model_fields.items():
                if key not in allowed and (value := getattr(self, key)) != field.default:
                    raise ValueError(
                        f"{key} is {value}, but initialize_from uses a finished vocabulary; "
                        "give that key alone: --set 'tokenizer={initialize_from: PATH}'"
                    )
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """The values that determine the bytes; the path of an existing tokenizer does not."""
        if self.initialize_from is None:
            needs_language = self.lowercase and self.language in DOTTED_I_LANGUAGES
            values = self.model_dump(mode="json", exclude={"initialize_from"})
            return {**values, "language": self.language if needs_language else None}
        return {"max_length": self.max_length}
