"""Checkpoints of a training, on disk and in the object store."""
