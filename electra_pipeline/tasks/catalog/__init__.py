"""The published tasks, and tasks that users define."""
