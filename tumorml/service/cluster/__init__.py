"""Preparation of a cluster: databases, roles and secrets."""
