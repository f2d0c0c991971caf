"""Existing tokenizers: loaded, checked, saved so that transformers loads them anywhere."""

import hashlib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers.models import WordPiece

from electra_pipeline.core.errors import first_line
from electra_pipeline.storage.models import NO_CODE, tokenizer_directory
from electra_pipeline.text.tokenization import SPECIAL_TOKEN_ROLES
from electra_pipeline.text.tokenizer_files import save_loadable

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast


def load_pretrained(source: str, max_length: int) -> "PreTrainedTokenizerFast":
    """Load a WordPiece tokenizer (see `location.tokenizer_directory`), to be saved as an artifact.

    It truncates to `max_length` tokens if its caller asks for truncation, never by itself.

    Raises ValueError if `source` has no tokenizer, or one that ELECTRA cannot be trained with.
    """
    from transformers import AutoTokenizer

    with tokenizer_directory(source) as directory:
        try:
            tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(directory, **NO_CODE)
        except Exception as error:  # OSError, ValueError, and Exception itself from tokenizers
            reason = first_line(error)
            raise ValueError(
                f"{source}: cannot be loaded as a tokenizer ({reason}); give a model or tokenizer "
                "of this pipeline, or a directory or hub name with tokenizer.json"
            ) from error
    if not tokenizer.is_fast or not isinstance(tokenizer.backend_tokenizer.model, WordPiece):
        raise ValueError(
            f"{source}: not a WordPiece tokenizer ({type(tokenizer).__name__}); "
            "give a tokenizer of a BERT or ELECTRA model"
        )
    ids = tokenizer.get_vocab()
    roles = tokenizer.special_tokens_map
    for role, token in SPECIAL_TOKEN_ROLES.items():
        if roles.get(f"{role}_token") != token or token not in ids:
            raise ValueError(
                f"{source}: its {role} token is {roles.get(f'{role}_token')}, not {token}; "
                "give a tokenizer of a BERT or ELECTRA model"
            )
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(
            f"{source}: {len(ids)} tokens with ids up to {max(ids.values())}; "
            "every id from 0 must be used once"
        )
    tokenizer.backend_tokenizer.no_truncation()  # truncation would shorten documents silently
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.model_max_length = max_length
    return tokenizer


def digest(tokenizer: "PreTrainedTokenizerFast") -> str:
    """Return the sha256 of all that determines the ids of a text, whatever its path is."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def normalization(tokenizer: "PreTrainedTokenizerFast") -> dict[str, bool]:
    """Return whether it lower-cases and strips accents, tested on a letter that has both."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    letter = "\u00c1" if normalizer is None else normalizer.normalize_str("\u00c1")  # A with acute
    decomposed = unicodedata.normalize("NFD", letter)
    return {
        "lowercase": decomposed.startswith("a"),
        "strip_accents": "\u0301" not in decomposed,
    }


def save(tokenizer: "PreTrainedTokenizerFast", directory: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and, for tools that need it, vocab.txt."""
    save_loadable(tokenizer, directory)  # writes no vocab.txt since transformers 5
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    lines = "".join(f"{token}\n" for token in tokens)
    (directory / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
