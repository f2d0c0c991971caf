"""The kinds of task: how examples become model inputs, and outputs become scores."""
