"""Readers of each type of source."""
