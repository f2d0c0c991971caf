"""Labelled data: found, read into examples, checked."""
