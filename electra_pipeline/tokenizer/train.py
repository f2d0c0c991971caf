"""Documents -> a WordPiece vocabulary, saved as a directory that `AutoTokenizer` loads.

`tokenizers` trains it (BPE merges written as WordPiece) on words as `text.tokenization` makes them,
and every run gives the same bytes: `train_vocabulary` says how.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import Normalizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import Config
from electra_pipeline.core.progress import Progress, Update, silent
from electra_pipeline.storage import shards
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.models import MODEL_FORMATS
from electra_pipeline.text.lost_text import warn_of_lost_text
from electra_pipeline.text.tokenization import (
    DOTTED_I_LANGUAGES,
    make_normalizer,
    make_pre_tokenizer,
    parts,
)
from electra_pipeline.tokenizer.pretrained import (
    MODEL_INPUTS,
    SPECIAL_TOKENS,
    batches,
    digest,
    measure,
    normalization,
    save,
    take_over,
)

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast

STAGE = "tokenizer"
FORMAT_VERSION = MODEL_FORMATS[STAGE]
DIRECTORY = "tokenizer"
PREFIXES = {"train": shards.TRAIN_PREFIX, "held_out": shards.HELD_OUT_PREFIX}
CONTINUING_PREFIX = "##"
MAX_MEASURED_CHARACTERS = 10_000_000  # two million words give each rate to three digits

CharacterPairs = Counter[tuple[str, str]]


class TokenizerConfig(Config):
    """A WordPiece vocabulary; the defaults are Google's ELECTRA's, except that accents are kept."""

    initialize_from: str | None = None
    """A tokenizer to take over instead of training one: a model or tokenizer of ours, a directory
    or a name on the Hugging Face hub. Of the other keys only max_length then has a meaning."""
    vocab_size: int = Field(default=30522, gt=len(SPECIAL_TOKENS))
    """Number of pieces, the five special tokens included; exactly so many are made."""
    lowercase: bool = True
    """Whether case is folded, as Unicode does it for `language`."""
    language: str | None = Field(default=None, pattern="^[a-z]{2,3}$")
    """ISO 639-1 code. In Turkish and Azeri (tr, az) I and dotted I are two letters in lower case,
    too. null takes corpus.language."""
    strip_accents: bool = False
    """Whether combining marks are removed, apart from case. BERT's uncased vocabulary does, which
    turns Spanish n-tilde into n and takes the vowel signs from Hindi."""
    handle_chinese_chars: bool = True
    """Whether each CJK ideograph is a word of its own, as in BERT."""
    min_frequency: int = Field(default=2, ge=1)
    """How often a character, and a pair that is merged, must occur."""
    character_coverage: float = Field(default=0.99999, gt=0.0, le=1.0)
    """Fraction of the text's characters that the alphabet covers; words with one of the rarest
    characters, which make up the rest, become [UNK]."""
    max_training_characters: int = Field(default=1_000_000_000, gt=0)
    """A longer corpus is thinned to about so many characters, evenly, by document. In scripts
    without spaces, where few runs repeat, training takes some 100 bytes of memory for each."""
    max_length: int = Field(default=512, gt=2)
    """Tokens that the saved tokenizer truncates to (ELECTRA has 512 positions)."""

    @model_validator(mode="after")
    def _train_or_take_over(self) -> "TokenizerConfig":
        if self.initialize_from is not None:
            allowed = {"initialize_from", "max_length"}
            for key, field in type(self).model_fields.items():
                if key not in allowed and (value := getattr(self, key)) != field.default:
                    raise ValueError(
                        f"{key} is {value}, but initialize_from takes over a finished vocabulary; "
                        "give that alone: --set 'tokenizer={initialize_from: PLACE}'"
                    )
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What of this configuration determines the bytes; where a vocabulary lies does not."""
        if self.initialize_from is None:
            is_asked = self.lowercase and self.language in DOTTED_I_LANGUAGES
            values = self.model_dump(mode="json", exclude={"initialize_from"})
            return {**values, "language": self.language if is_asked else None}
        return {"max_length": self.max_length}


def check(config: TokenizerConfig) -> None:
    """Raise ValueError, before any work, if there is no tokenizer to take over."""
    _existing(config)


def train(
    config: TokenizerConfig,
    corpus: Artifact,
    context: StageContext,
) -> Artifact:
    """The tokenizer artifact of a corpus: `tokenizer/` and, as counters, how well it fits the text.

    The measures (see `measure`) are taken on held-out documents, or on training documents where
    none are held out; `measured_on` says which. A tokenizer that is taken over is known by its
    content, a digest among the inputs. Raises ValueError if the corpus is empty or cannot fill, or
    does not fit into, `vocab_size`, or if there is no tokenizer to take over.
    """
    existing = _existing(config)
    if existing is None:
        config = for_corpus(config, corpus)

    def write(draft: Draft) -> Written:
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


def load(artifact: Artifact) -> "PreTrainedTokenizerFast":
    """The tokenizer of a finished artifact."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(artifact.local_folder(DIRECTORY)))


def train_vocabulary(
    config: TokenizerConfig, corpus: Artifact, progress: Progress = silent
) -> list[str]:
    """The pieces in the order of their ids: special tokens, characters, merges by frequency.

    `tokenizers` breaks ties between equally frequent pairs by id, and gives the ids of the
    `##` characters, and picks among equally frequent characters at the edge of the alphabet, in the
    order of a hash map that differs from process to process. So a first pass counts characters,
    and the trainer is handed the alphabet with its ids ("special tokens" to it) and a limit at
    which no two equally frequent characters part. The second pass is then deterministic for any
    number of threads.
    """
    num_characters = _check_size(config, corpus)
    normalizer, pre_tokenizer = _normalizer(config), make_pre_tokenizer()

    def texts(phase: str, done: int) -> Iterator[list[str]]:
        for batch in batches(_sample(corpus, "train", config.max_training_characters)):
            yield batch
            done += sum(map(len, batch))
            progress(Update(STAGE, done, 2 * num_characters, "characters", {"phase": phase}))

    pairs = CharacterPairs()
    for batch in texts("alphabet", 0):
        times = Counter(chain.from_iterable(map(parts, batch)))
        normalized = normalizer.normalize_str("\n".join(times)).split("\n")
        for words, count in zip(normalized, times.values(), strict=True):
            for pair in pairwise(f"{' '.join(words.split())} "):
                pairs[pair] += count
    characters = alphabet(pairs, config)
    initial = list(SPECIAL_TOKENS) + initial_pieces(characters, pairs)
    if len(initial) > config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the special tokens and the alphabet "
            f"of this text alone are {len(initial)} pieces; raise it, or lower "
            f"tokenizer.character_coverage ({config.character_coverage})"
        )
    trainer = WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=initial,
        limit_alphabet=len(characters),
        continuing_subword_prefix=CONTINUING_PREFIX,
        show_progress=False,
    )
    trained = Tokenizer(WordPiece(unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = normalizer, pre_tokenizer
    trained.train_from_iterator(texts("merges", num_characters), trainer)
    ids: dict[str, int] = trained.get_vocab()
    if len(ids) < config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but this text gives {len(ids)} pieces "
            f"that occur at least {config.min_frequency} times (tokenizer.min_frequency); "
            f"set tokenizer.vocab_size to {len(ids)} or less, or give more text"
        )
    return sorted(ids, key=ids.__getitem__)


def alphabet(pairs: CharacterPairs, config: TokenizerConfig) -> list[str]:
    """The most frequent characters of a normalized text, in code point order.

    They are as few as cover `character_coverage` of the text without its spaces; none is left out
    that is as frequent as another that is in, and none occurs less than `min_frequency` times.
    (SentencePiece, whose option this is, recommends .9995 for Chinese and Japanese; that loses one
    character in 2000, and WordPiece loses the whole word with it, hence the higher default here.)
    """
    counts: Counter[str] = Counter()
    for (character, _), count in pairs.items():
        counts[character] += count
    del counts[" "]
    to_cover = config.character_coverage * counts.total()
    least = covered = 0
    for _, count in counts.most_common():
        if covered >= to_cover:
            break
        least = count
        covered += count
    least = max(least, config.min_frequency)
    return sorted(character for character, count in counts.items() if count >= least)


def initial_pieces(characters: Sequence[str], pairs: CharacterPairs) -> list[str]:
    """Each character as a piece and, where it continues a word of the text, as a `##` piece."""
    pre_tokenizer = make_pre_tokenizer()
    continuing = {
        second
        for first, second in pairs
        if " " not in (first, second) and len(pre_tokenizer.pre_tokenize_str(first + second)) == 1
    }
    return [*characters, *(CONTINUING_PREFIX + c for c in characters if c in continuing)]


def assemble(pieces: Sequence[str], config: TokenizerConfig) -> "PreTrainedTokenizerFast":
    """The transformers tokenizer over the given pieces.

    It is of the class that takes tokenizer.json as it stands: a BertTokenizer or ElectraTokenizer
    would replace the normalizer and pre-tokenizer by BERT's.
    """
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = _normalizer(config), make_pre_tokenizer()
    backend.decoder = WordPieceDecoder(prefix=CONTINUING_PREFIX)
    backend.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    roles = zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS, strict=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{role}_token": token for role, token in roles},
        # For those who load it as a BertTokenizer all the same.
        do_lower_case=config.lowercase,
        strip_accents=config.strip_accents,  # None would mean "as do_lower_case"
        tokenize_chinese_chars=config.handle_chinese_chars,
        model_input_names=list(MODEL_INPUTS),
        model_max_length=config.max_length,
    )


def for_corpus(config: TokenizerConfig, corpus: Artifact) -> TokenizerConfig:
    """`config` with the language that its text is in: the corpus's, where it names none."""
    language = config.language or corpus.config.get("language")
    return config.model_copy(update={"language": language})


def _existing(config: TokenizerConfig) -> "PreTrainedTokenizerFast | None":
    """The tokenizer to take over, if there is to be one; ValueError if it cannot be."""
    if config.initialize_from is None:
        return None
    try:
        return take_over(config.initialize_from, config.max_length)
    except ValueError as error:
        raise ValueError(f"tokenizer.initialize_from: {error}") from error


def _counters(tokenizer: "PreTrainedTokenizerFast", corpus: Artifact) -> dict[str, Any]:
    _check_not_empty(corpus)
    measures = {
        split: measure(tokenizer, _sample(corpus, split, MAX_MEASURED_CHARACTERS))
        for split in PREFIXES
        if corpus.counters["documents"].get(split, 0)
    }
    measured_on = "held_out" if "held_out" in measures else "train"
    return {
        "vocab_size": len(tokenizer),
        **normalization(tokenizer),
        "measured_on": measured_on,
        **measures[measured_on],
        "train": measures["train"],
    }


def _check_size(config: TokenizerConfig, corpus: Artifact) -> int:
    """The number of characters that training will read; ValueError if it cannot be enough."""
    _check_not_empty(corpus)
    total: int = corpus.counters["characters"]["train"]
    # A character gives at most itself, itself after ##, and one merge.
    if len(SPECIAL_TOKENS) + 3 * total < config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but {corpus.folder} has only {total} "
            "characters of training text; give more text or a smaller vocabulary"
        )
    return min(total, config.max_training_characters)


def _check_not_empty(corpus: Artifact) -> None:
    if not corpus.counters["documents"].get("train", 0):
        raise ValueError(
            f"{corpus.folder}: the corpus has no training documents; see why in its counters "
            "(manifest.json) and mend corpus.sources or the rules that dropped them"
        )


def _sample(corpus: Artifact, split: str, max_characters: int) -> Iterator[str]:
    """About `max_characters` of text, whole documents at even distances, the first one always."""
    fraction = min(1.0, max_characters / corpus.counters["characters"][split])
    due = taken = 0.0
    for batch in shards.read_documents(corpus, PREFIXES[split]):
        for text in batch.column(0).to_pylist():
            due += fraction * len(text)
            if taken < due:
                taken += len(text)
                yield text


def _normalizer(config: TokenizerConfig) -> Normalizer:
    return make_normalizer(
        lowercase=config.lowercase,
        strip_accents=config.strip_accents,
        handle_chinese_chars=config.handle_chinese_chars,
        language=config.language,
    )


def _warn_of_unknown(config: TokenizerConfig, counters: Mapping[str, Any]) -> None:
    remedy = (
        "raise tokenizer.character_coverage or lower tokenizer.min_frequency"
        if config.initialize_from is None
        else f"{config.initialize_from} was made for other text: train one instead"
    )
    lost, characters = counters["unknown_characters"], counters["num_characters"]
    warn_of_lost_text(STAGE, "[UNK]", lost, characters, remedy)
