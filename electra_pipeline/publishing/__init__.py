"""Publishing: Hugging Face directories with model cards."""
