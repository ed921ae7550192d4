"""Synthetic scans for a new installation."""

SYNTHETIC_DROP = "synthetic-first-drop"
"""Name of the drop that the service creates in a new home."""
SYNTHETIC = "The model was trained on SYNTHETIC scans only; its metrics do not apply to patients."
"""Warning about a model that was trained only on that drop."""
