"""The results table and what is computed and drawn from it."""
