"""What the model saw: heatmaps and overlays."""
