"""Heatmaps and feature maps: the parts of a scan that influenced a prediction."""
