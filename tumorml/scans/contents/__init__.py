"""The contents of a drop: a folder, a zip or a tar."""
