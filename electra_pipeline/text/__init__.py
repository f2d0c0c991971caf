"""What a word, a sentence and an equal spelling are, once for corpus, tokenizer and sequences."""
