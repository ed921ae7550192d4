"""Facts about runs, champions and batches, read from the results store."""
