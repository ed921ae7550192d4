"""Checkpoints of a run, on disk and in the object store."""
