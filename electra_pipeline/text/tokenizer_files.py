"""Save a tokenizer's files so that every supported transformers version loads them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerBase

# Settings that transformers adds to a loaded tokenizer about where it was loaded from.
ORIGIN_SETTINGS = ("is_local", "local_files_only")


def save_loadable(tokenizer: "PreTrainedTokenizerBase", directory: Path) -> None:
    """Write the files of any tokenizer so that transformers 4 and 5 load them on any machine.

    A tokenizer that consists of its tokenizer.json alone has two class names, of which transformers
    4 has only the older one. A class of its own (RobertaTokenizer, ...) is kept.
    """
    for name in ORIGIN_SETTINGS:  # they depend on HF_HUB_OFFLINE
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(directory)
    file = directory / "tokenizer_config.json"
    settings = file.read_bytes()
    file.write_bytes(settings.replace(b'"TokenizersBackend"', b'"PreTrainedTokenizerFast"'))
