"""From trusted scans to what a run sees: groups, sides, snapshots, pixels."""
