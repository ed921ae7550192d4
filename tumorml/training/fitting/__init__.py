"""Fit a network: input pipeline, optimizer and phases."""
