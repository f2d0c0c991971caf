"""What a model is scored on: the table of published tasks, the user's own, and their data."""
