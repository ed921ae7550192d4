"""The synthetic first drop that the service makes for a new home."""

SYNTHETIC_DROP = "synthetic-first-drop"
"""Its name."""
SYNTHETIC = "It has seen SYNTHETIC scans only: its numbers say nothing about patients."
"""Of a model whose scans came in no other drop."""
