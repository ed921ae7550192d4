"""Ingest drops: read their scans in shards, validate the batch, record it and move its files."""
