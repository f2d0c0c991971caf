"""Artifacts: folders on any fsspec store with a manifest, one writer at a time."""
