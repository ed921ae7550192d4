"""List and read the files of a drop: a folder, a zip or a tar."""
