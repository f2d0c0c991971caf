"""Comparisons of models with intervals and tests of significance."""
