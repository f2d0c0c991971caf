"""Clean single documents: text, language, filters."""
