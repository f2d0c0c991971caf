"""The corpus stage, in the order of a document: sources, cleaning, partitions, dedup, merge."""
