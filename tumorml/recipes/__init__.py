"""Named ways to build and train a network: one TOML file each, and the networks they name."""
