"""Twins: copies of one picture, found by fingerprints and confirmed on pixels."""
