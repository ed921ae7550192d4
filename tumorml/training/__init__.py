"""Runs a recipe: plan, train, checkpoint, resume."""
