"""The training loop: input pipeline, compilation, learning rates, layers and optimisers."""
