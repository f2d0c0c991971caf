"""Filters for single documents, after published rules."""
