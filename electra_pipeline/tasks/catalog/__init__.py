"""Published tasks and tasks of a user's own."""
