"""Scans: inbox, archives, image decoding, validation and ingest."""
