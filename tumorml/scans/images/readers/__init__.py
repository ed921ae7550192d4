"""One module per kind of image file, and the registry of all of them."""
