"""Tiny random encoders of several architectures, each with the tokenizer that its kind has."""

import json
from functools import partial
from pathlib import Path
from typing import Any

SENTENCES = [
    "the old baker paints a wooden boat near the river",
    "a young doctor repairs it, and forgets the bread.",
    "dog cat bird house tree red green blue",
] * 20
POSITIONS = 40  # tokens that each of them takes
LAYERS = 2
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _trained(model: Any, trainer: Any, pre_tokenizer: Any) -> dict[str, Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(SENTENCES, trainer)
    found: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return found


def _wordpiece(name: str) -> Any:
    import transformers

    letters = [*"abcdefghijklmnopqrstuvwxyz.,?"]
    words = [*SPECIAL, "dog", "cat", "red", "blue", "the", *letters, *(f"##{x}" for x in letters)]
    tokenizer = getattr(transformers, name)
    return tokenizer(vocab={word: number for number, word in enumerate(words)})


def _byte_level() -> dict[str, Any]:
    from tokenizers import models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def _roberta() -> Any:
    from transformers import RobertaTokenizer

    found = _byte_level()
    return RobertaTokenizer(vocab=found["vocab"], merges=[tuple(m) for m in found["merges"]])


def _modernbert() -> Any:
    """As on the hub: a generic class, byte-level, without a space before the first word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    found = _byte_level()
    merges = [tuple(merge) for merge in found["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=found["vocab"], merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _deberta() -> Any:
    from tokenizers import models, pre_tokenizers, trainers
    from transformers import DebertaV2Tokenizer

    trainer = trainers.UnigramTrainer(
        vocab_size=80,
        special_tokens=["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
        unk_token="[UNK]",
        show_progress=False,
    )
    found = _trained(models.Unigram(), trainer, pre_tokenizers.Metaspace())
    return DebertaV2Tokenizer(vocab=[tuple(piece) for piece in found["vocab"]])


ARCHITECTURES = {
    "electra": (
        "ElectraConfig",
        {**SIZE, "embedding_size": 16, "max_position_embeddings": POSITIONS},
        partial(_wordpiece, "ElectraTokenizer"),
    ),
    "bert": (
        "BertConfig",
        {**SIZE, "max_position_embeddings": POSITIONS},
        partial(_wordpiece, "BertTokenizer"),
    ),
    # positions count from the padding id plus 1
    "roberta": (
        "RobertaConfig",
        {**SIZE, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "pad_token_id": 1},
        _roberta,
    ),
    "deberta-v2": (
        "DebertaV2Config",  # as deberta-v3-small: relative positions alone, no types
        {
            **SIZE,
            "max_position_embeddings": POSITIONS,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        _deberta,
    ),
    "distilbert": (
        "DistilBertConfig",
        {
            "dim": 32,
            "n_layers": LAYERS,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": POSITIONS,
        },
        partial(_wordpiece, "DistilBertTokenizer"),
    ),
    "modernbert": (
        "ModernBertConfig",
        {
            **SIZE,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 1,
            **{f"{name}_token_id": 0 for name in ("bos", "cls")},
            **{f"{name}_token_id": 2 for name in ("eos", "sep")},
        },
        _modernbert,
    ),
}


def write_encoder(name: str, directory: Path, seed: int = 7) -> None:
    """Save a random encoder of an architecture, and its tokenizer, as a model on the hub is."""
    import torch
    import transformers

    config, values, make_tokenizer = ARCHITECTURES[name]
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    architecture = getattr(transformers, config)(vocab_size=len(tokenizer), **values)
    model = transformers.AutoModel.from_config(architecture)
    # far from what a new model is given, so that lost weights show
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
