"""Fingerprint of a training, so that no checkpoint of another training is resumed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tumorml.labels import Task
from tumorml.recipes.recipe import Recipe
from tumorml.training.fitting.labeled_images import LabeledImages


def training_fingerprint(
    recipe: Recipe,
    task: Task,
    train: LabeledImages,
    validation: LabeledImages,
    seed: int,
    weights: Path | None,
) -> str:
    """Return the SHA-256, in hex, of everything that determines a training.

    It covers the number, size and labels of the scans, but not their pixels.
    """
    weights_sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None
    parts: list[Any] = [recipe.digest, task.value, seed, weights_sha256]
    for data in (train, validation):
        parts += [list(data.images.shape), hashlib.sha256(data.labels.tobytes()).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
