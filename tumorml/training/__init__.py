"""Training: planning and execution of runs, checkpoints, and tuning of recipes."""
