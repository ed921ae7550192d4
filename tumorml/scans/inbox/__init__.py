"""The inbox: waiting drops, claims, and what their layout says about each file."""
