"""Validation of a batch with Great Expectations."""
