"""How much a set of scans leaks: read it, compare it, say so."""
