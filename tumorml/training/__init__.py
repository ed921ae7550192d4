"""Training: plan and train runs, store checkpoints, and tune recipes."""
