"""The vocabulary of a trained tokenizer, as sequences and pre-training need it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.text.tokenization import SPECIAL_TOKENS


@dataclass(frozen=True)
class Vocabulary:
    """A fast tokenizer and what is derived from its vocabulary."""

    tokenizer: Tokenizer

    @cached_property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return dict(self.tokenizer.get_vocab())

    def id_of(self, token: str) -> int:
        """Return the id of a token. Raises ValueError if the vocabulary does not contain it."""
        identifier = self.tokenizer.token_to_id(token)
        if identifier is None:
            raise ValueError(
                f"the tokenizer has no {token} token; train it with `electra-pipeline tokenizer`"
            )
        return int(identifier)

    @cached_property
    def widths(self) -> np.ndarray:
        """(size,) int64: characters of text in each token; 0 for special tokens and [UNK]."""
        widths = np.zeros(self.size, dtype=np.int64)
        for token, identifier in self.ids.items():
            if token not in SPECIAL_TOKENS:
                widths[identifier] = len(token.removeprefix("##"))
        return widths

    @property
    def id_type(self) -> pa.DataType:
        """The smallest type of an id column that holds all ids."""
        return pa.uint16() if self.size <= 2**16 else pa.uint32()


def load_vocabulary(tokenizer: Artifact) -> Vocabulary:
    """Load the vocabulary of a tokenizer artifact; a literal "[MASK]" in a text is read as text."""
    loaded = Tokenizer.from_file(str(tokenizer.local_file("tokenizer/tokenizer.json")))
    loaded.encode_special_tokens = True
    return Vocabulary(loaded)
