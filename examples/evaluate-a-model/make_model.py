"""Write a small BERT with random weights and its tokenizer to `model/`, as transformers does."""

from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast


def main() -> None:
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train(["data/train.tsv"], vocab_size=300, show_progress=False)
    Path("model").mkdir(exist_ok=True)
    trained.save("model/tokenizer.json")
    tokenizer = BertTokenizerFast(tokenizer_file="model/tokenizer.json", model_max_length=64)
    tokenizer.save_pretrained("model")
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertModel(shape).save_pretrained("model")


if __name__ == "__main__":
    main()
