"""Fitting of a network: input pipeline, optimizer, and the training of phases."""
