"""Rules that judge or edit a cleaned document: published heuristics over one view of its text."""
