"""Prediction from lines of text, and an HTTP endpoint."""
