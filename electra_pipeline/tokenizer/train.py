"""The tokenizer stage: train a WordPiece vocabulary on a corpus, or reuse an existing one.

The result is a directory that `AutoTokenizer` loads, and counters of how well it fits the text.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from electra_pipeline.core.execution import StageContext
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.text.lost_text import warn_of_lost_text
from electra_pipeline.tokenizer.config import STAGE, TokenizerConfig
from electra_pipeline.tokenizer.pretrained import digest, load_pretrained, normalization, save
from electra_pipeline.tokenizer.quality import measure
from electra_pipeline.tokenizer.vocabulary import (
    PREFIXES,
    assemble,
    sample_documents,
    train_vocabulary,
)

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast

FORMAT_VERSION = 2  # 2: texts are normalized as in the corpus, long words cut; losses counted
DIRECTORY = "tokenizer"
MAX_MEASURED_CHARACTERS = 10_000_000  # two million words give each rate to three digits


def check(config: TokenizerConfig) -> None:
    """Raise ValueError, before any work, if `initialize_from` is no usable tokenizer."""
    _existing(config)


def train(config: TokenizerConfig, corpus: Artifact, context: StageContext) -> Artifact:
    """Return the tokenizer artifact of a corpus: `tokenizer/`, and its quality as counters.

    Quality (see `quality.measure`) is measured on held-out documents, or on training documents if
    none are held out; the counter `measured_on` is that split. The content digest of an existing
    tokenizer is an input of the artifact.

    Raises ValueError if the corpus is empty or does not fit `vocab_size`, or if `initialize_from`
    is no usable tokenizer.
    """
    existing = _existing(config)
    if existing is None:
        config = with_corpus_language(config, corpus)

    def write(draft: Draft) -> Written:
        if not corpus.counters["documents"].get("train", 0):
            raise ValueError(
                f"{corpus.folder}: the corpus has no training documents; see its counters "
                "(manifest.json) for the reasons and correct corpus.sources or the filters"
            )
        tokenizer = existing or assemble(train_vocabulary(config, corpus, context.progress), config)
        with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
            save(tokenizer, Path(scratch))
            (draft.folder / DIRECTORY).upload(Path(scratch))
        observed = {"initialized_from": config.initialize_from} if existing is not None else {}
        counters = _counters(tokenizer, corpus)
        _warn_of_unknown(config, counters)
        return Written(counters=counters, observed=observed)

    inputs = {"corpus": corpus.fingerprint}
    if existing is not None:
        inputs["initialize_from"] = digest(existing)
    return produce(
        root=context.root,
        stage=STAGE,
        name=context.name,
        format_version=FORMAT_VERSION,
        config=config.identity,
        inputs=inputs,
        write=write,
    )


def with_corpus_language(config: TokenizerConfig, corpus: Artifact) -> TokenizerConfig:
    """Return `config` with the language of the corpus, unless it has one of its own."""
    language = config.language or corpus.config.get("language")
    return config.model_copy(update={"language": language})


def _existing(config: TokenizerConfig) -> "PreTrainedTokenizerFast | None":
    """Load the tokenizer that `initialize_from` names, if any; raise ValueError if unusable."""
    if config.initialize_from is None:
        return None
    try:
        return load_pretrained(config.initialize_from, config.max_length)
    except ValueError as error:
        raise ValueError(f"tokenizer.initialize_from: {error}") from error


def _counters(tokenizer: "PreTrainedTokenizerFast", corpus: Artifact) -> dict[str, Any]:
    by_split = {
        split: measure(tokenizer, sample_documents(corpus, split, MAX_MEASURED_CHARACTERS))
        for split in PREFIXES
        if corpus.counters["documents"].get(split, 0)
    }
    measured_on = "held_out" if "held_out" in by_split else "train"
    return {
        "vocab_size": len(tokenizer),
        **normalization(tokenizer),
        "measured_on": measured_on,
        **by_split[measured_on],
        "train": by_split["train"],
    }


def _warn_of_unknown(config: TokenizerConfig, counters: Mapping[str, Any]) -> None:
    remedy = (
        "raise tokenizer.character_coverage or lower tokenizer.min_frequency"
        if config.initialize_from is None
        else f"{config.initialize_from} was made for other text; train a tokenizer instead"
    )
    unknown, characters = counters["unknown_characters"], counters["num_characters"]
    warn_of_lost_text(STAGE, "[UNK]", unknown, characters, remedy)
