"""Heatmaps and feature maps: which parts of a scan a prediction rests on."""
