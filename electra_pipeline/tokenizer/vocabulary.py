"""WordPiece vocabularies: trained on texts, with the same bytes on every run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import Normalizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from electra_pipeline.core.progress import Progress, Update, silent
from electra_pipeline.storage import shards
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.text.tokenization import (
    SPECIAL_TOKEN_ROLES,
    SPECIAL_TOKENS,
    batches_of_texts,
    make_normalizer,
    make_pre_tokenizer,
    parts,
)
from electra_pipeline.tokenizer.config import STAGE, TokenizerConfig

if TYPE_CHECKING:  # takes seconds to import, and most commands do not need it
    from transformers import PreTrainedTokenizerFast

PREFIXES = {"train": shards.TRAIN_PREFIX, "held_out": shards.HELD_OUT_PREFIX}
BATCH_CHARACTERS = 1_000_000  # their token objects take about 100 MB
CONTINUING_PREFIX = "##"
MODEL_INPUTS = ("input_ids", "token_type_ids", "attention_mask")

CharacterPairs = Counter[tuple[str, str]]


def train_vocabulary(
    config: TokenizerConfig, corpus: Artifact, progress: Progress = silent
) -> list[str]:
    """Return the tokens in the order of their ids: special tokens, characters, merged tokens.

    `tokenizers` alone is not deterministic. It breaks ties between equally frequent pairs by id,
    but assigns the ids of `##` characters, and selects among equally frequent characters at the
    limit of the alphabet, in the order of a hash map that differs between processes. So a first
    pass counts the characters, and the trainer receives the alphabet with its ids (as its "special
    tokens") and a limit that separates no two equally frequent characters. The second pass is then
    deterministic with any number of threads.

    Raises ValueError if the corpus is too small for `vocab_size`, or if its alphabet
    exceeds `vocab_size`.
    """
    num_characters = _check_size(config, corpus)
    normalizer, pre_tokenizer = _normalizer(config), make_pre_tokenizer()

    def read_texts(phase: str, num_done: int) -> Iterator[list[str]]:
        texts = sample_documents(corpus, "train", config.max_training_characters)
        for batch in batches_of_texts(texts, BATCH_CHARACTERS):
            yield batch
            num_done += sum(map(len, batch))
            progress(Update(STAGE, num_done, 2 * num_characters, "characters", {"phase": phase}))

    pairs = CharacterPairs()
    for batch in read_texts("alphabet", 0):
        times = Counter(chain.from_iterable(map(parts, batch)))
        normalized = normalizer.normalize_str("\n".join(times)).split("\n")
        for words, count in zip(normalized, times.values(), strict=True):
            for pair in pairwise(f"{' '.join(words.split())} "):
                pairs[pair] += count
    characters = alphabet(pairs, config)
    initial = list(SPECIAL_TOKENS) + initial_tokens(characters, pairs)
    if len(initial) > config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but the special tokens and the alphabet "
            f"of this text already are {len(initial)} tokens; raise it, or lower "
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
    trained.train_from_iterator(read_texts("merges", num_characters), trainer)
    ids: dict[str, int] = trained.get_vocab()
    if len(ids) < config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but this text gives {len(ids)} tokens "
            f"that occur at least {config.min_frequency} times (tokenizer.min_frequency); "
            f"set tokenizer.vocab_size to {len(ids)} or less, or give more text"
        )
    return sorted(ids, key=ids.__getitem__)


def sample_documents(corpus: Artifact, split: str, max_characters: int) -> Iterator[str]:
    """Yield about `max_characters` of text: evenly spaced whole documents, always the first."""
    fraction = min(1.0, max_characters / corpus.counters["characters"][split])
    due = taken = 0.0
    for batch in shards.read_documents(corpus, PREFIXES[split]):
        for text in batch.column("text").to_pylist():
            due += fraction * len(text)
            if taken < due:
                taken += len(text)
                yield text


def alphabet(pairs: CharacterPairs, config: TokenizerConfig) -> list[str]:
    """Return the most frequent characters of a normalized text, in code point order.

    They are the fewest that cover `character_coverage` of the text without spaces. Characters that
    are equally frequent are all included or all left out, and each occurs at least `min_frequency`
    times. (SentencePiece, which has the same option, recommends .9995 for Chinese and Japanese.
    That leaves out one character in 2000, and WordPiece loses the whole word with it, hence the
    higher default here.)
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


def initial_tokens(characters: Sequence[str], pairs: CharacterPairs) -> list[str]:
    """Return each character as a token and, if it occurs inside a word, also with `##`."""
    pre_tokenizer = make_pre_tokenizer()
    continuing = {
        second
        for first, second in pairs
        if " " not in (first, second) and len(pre_tokenizer.pre_tokenize_str(first + second)) == 1
    }
    return [*characters, *(CONTINUING_PREFIX + c for c in characters if c in continuing)]


def assemble(tokens: Sequence[str], config: TokenizerConfig) -> "PreTrainedTokenizerFast":
    """Return the transformers tokenizer over a vocabulary.

    Its class is the one that uses tokenizer.json unchanged: BertTokenizer and ElectraTokenizer
    would replace the normalizer and the pre-tokenizer by BERT's.
    """
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = _normalizer(config), make_pre_tokenizer()
    backend.decoder = WordPieceDecoder(prefix=CONTINUING_PREFIX)
    backend.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{role}_token": token for role, token in SPECIAL_TOKEN_ROLES.items()},
        # For users who load it as a BertTokenizer anyway.
        do_lower_case=config.lowercase,
        strip_accents=config.strip_accents,  # None would mean "as do_lower_case"
        tokenize_chinese_chars=config.handle_chinese_chars,
        model_input_names=list(MODEL_INPUTS),
        model_max_length=config.max_length,
    )


def _normalizer(config: TokenizerConfig) -> Normalizer:
    return make_normalizer(
        lowercase=config.lowercase,
        strip_accents=config.strip_accents,
        handle_chinese_chars=config.handle_chinese_chars,
        language=config.language,
    )


def _check_size(config: TokenizerConfig, corpus: Artifact) -> int:
    """Return the number of characters to train on; raise ValueError if they are too few."""
    total: int = corpus.counters["characters"]["train"]
    # A character gives at most itself, itself after ##, and one merge.
    if len(SPECIAL_TOKENS) + 3 * total < config.vocab_size:
        raise ValueError(
            f"tokenizer.vocab_size is {config.vocab_size}, but {corpus.folder} has only {total} "
            "characters of training text; give more text or a smaller vocabulary"
        )
    return min(total, config.max_training_characters)
