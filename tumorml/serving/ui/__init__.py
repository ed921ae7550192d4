"""The page for people: read a scan, see who serves, look back, drop a batch, settle labels."""
