"""Groups of related scans and the side of the split that each group is on."""
