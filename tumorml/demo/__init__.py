"""The synthetic first drop that the service makes for a new home."""

SYNTHETIC_DROP = "synthetic-first-drop"
"""Its name: what came in no other drop says nothing about patients."""
