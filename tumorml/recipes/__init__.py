"""Recipes: TOML files that define how a network is built and trained, and the networks."""
