"""The HTTP API of the champions."""
