"""The inbox: drops, claims, and how a drop names and labels its files."""
