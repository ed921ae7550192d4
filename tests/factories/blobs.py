"""Small noisy squares with or without a bright blob: a tiny network learns them in seconds."""

from __future__ import annotations

import numpy as np

from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.recipe import Recipe
from tumorml.training.fitting.labeled_images import LabeledImages


def blobs(count: int, size: int, seed: int) -> tuple[LabeledImages, np.ndarray]:
    """Squares of which every other one shows a blob (class 1).

    Returns:
        The squares, and bool [n, size, size]: the pixels of each blob.
    """
    images, labels, inside = blob_arrays(count, size, seed)
    return LabeledImages(images, labels), inside


def blob_arrays(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of `blobs`: uint8 [n, size, size], int64 [n] and bool [n, size, size]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    images = rng.integers(20, 90, (count, size, size)).astype(np.float32)
    radius = size / 8
    centers = rng.uniform(radius, size - radius, (2, count, 1, 1))
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - centers[0]) ** 2 + (columns - centers[1]) ** 2 < radius**2
    inside &= (labels == 1)[:, None, None]
    images[inside] += 120
    return images.astype(np.uint8), labels, inside


def tiny_recipe(**fields: object) -> Recipe:
    """The baseline CNN at 32 px in two short phases, with every option that a checkpoint stores."""
    recipe = load_recipe("baseline-cnn").with_epochs(2)
    (phase,) = recipe.phases
    phases = (
        phase.model_copy(update={"name": "first", "epochs": 2}),
        phase.model_copy(update={"name": "second", "epochs": 3, "schedule": "cosine"}),
    )
    return recipe.model_copy(update={"input_size": 32, "batch_size": 8, "phases": phases, **fields})
