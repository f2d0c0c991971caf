"""Corpus-wide rules: repeated lines, duplicates, near-duplicates, decontamination."""
