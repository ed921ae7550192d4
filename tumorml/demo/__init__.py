"""Synthetic scans for a new installation."""

SYNTHETIC_DROP = "synthetic-first-drop"
"""Name of the drop that the service creates in a new home."""
SYNTHETIC = "It has seen SYNTHETIC scans only: its numbers say nothing about patients."
"""Warning about a model that was trained only on that drop."""
