"""The inbox: waiting drops, claims, and the labels and splits from folders or a manifest."""
