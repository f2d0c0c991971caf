"""Models to results: tasks, fine-tuning legs, the results table and the report."""
