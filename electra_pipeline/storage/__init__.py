"""What a stage leaves behind: artifacts in folders on any store, one writer at a time."""
