"""Data sets: twins, groups, labels, snapshots, cached pixels, leaks and audits."""
