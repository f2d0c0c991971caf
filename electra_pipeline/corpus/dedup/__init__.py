"""Exact and near duplicates, repeated lines, decontamination."""
