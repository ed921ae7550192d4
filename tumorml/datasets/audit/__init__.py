"""Audit of a data set: duplicates across its split, label conflicts and unreadable files."""
