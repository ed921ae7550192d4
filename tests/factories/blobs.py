"""Small noisy squares, with a bright blob or without: what a tiny network learns in seconds."""

from __future__ import annotations

import numpy as np

from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.recipe import Recipe
from tumorml.training.fitting.labeled_images import LabeledImages


def blobs(count: int, size: int, seed: int) -> tuple[LabeledImages, np.ndarray]:
    """Every other square holds a blob (class 1); and bool [n, size, size]: where it lies."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    images = rng.integers(20, 90, (count, size, size)).astype(np.float32)
    radius = size / 8
    centres = rng.uniform(radius, size - radius, (2, count, 1, 1))
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - centres[0]) ** 2 + (columns - centres[1]) ** 2 < radius**2
    inside &= (labels == 1)[:, None, None]
    images[inside] += 120
    return LabeledImages(images.astype(np.uint8), labels), inside


def blob_images(count: int, size: int, seed: int) -> np.ndarray:
    """Return the images of ``blobs``: uint8 [n, size, size]."""
    return np.asarray(blobs(count, size, seed)[0].images)


def tiny_recipe(**changes: object) -> Recipe:
    """The baseline at 32 px in two short phases, with all that a checkpoint has to carry."""
    recipe = load_recipe("baseline-cnn").with_epochs(2)
    (phase,) = recipe.phases
    phases = (
        phase.model_copy(update={"name": "first", "epochs": 2}),
        phase.model_copy(update={"name": "second", "epochs": 3, "schedule": "cosine"}),
    )
    return recipe.model_copy(
        update={"input_size": 32, "batch_size": 8, "phases": phases, **changes}
    )
