"""Twins: pairs of scans that show one picture, found by fingerprint and confirmed on pixels."""
