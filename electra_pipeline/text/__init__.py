"""Words, sentences and normalization, the same for corpus, tokenizer and sequences."""
