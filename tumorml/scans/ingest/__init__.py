"""The ingest steps: plan shards, read them, validate the batch, record it."""
