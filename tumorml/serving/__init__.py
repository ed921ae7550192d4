"""The champion at work."""
