"""Convert wikitext to plain text."""
