"""Reports about runs, champions and audited sets."""
