"""The synthetic first drop that the service makes for a new home."""
