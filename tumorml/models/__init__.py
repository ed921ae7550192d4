"""What a run leaves, and the one predictor that everybody asks."""
