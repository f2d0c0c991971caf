"""Trained models put to use: predictions of text, and an HTTP endpoint."""
