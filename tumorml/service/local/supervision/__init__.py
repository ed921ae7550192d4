"""Child processes: starting, watching, restarting, stopping."""
