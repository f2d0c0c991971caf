"""Text to documents: sources, cleaning, language, exact duplicates, the held-out split."""
