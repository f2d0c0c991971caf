"""The WordPiece tokenizer: trained on a corpus, or taken from an existing model."""
