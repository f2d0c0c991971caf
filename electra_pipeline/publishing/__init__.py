"""Weights to what others use: Hugging Face directories with cards."""
