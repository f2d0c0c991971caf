"""Rules for one document: text, language, filters."""
