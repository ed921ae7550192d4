"""A results store with test scans, and evaluated runs in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories.blobs import tiny_recipe
from tests.factories.rows import Dropped, add_batch
from tests.factories.runs import GOLDEN_SCAN, NAMES, TASK, EvaluatedRuns, lenient_policy
from tumorml.datasets.resize import fit_to_square
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small stored model, a golden scan, and the model's answer about it."""
    from tumorml.models.artifact import save_model
    from tumorml.models.predictor import Predictor
    from tumorml.recipes.networks.build_network import build_network

    folder = tmp_path_factory.mktemp("model")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "golden.png")
    model = build_network(tiny_recipe(), len(NAMES), seed=1)
    probabilities = Predictor(model, TASK).predict(fit_to_square(pixels, 32)[None])[0]
    golden = {GOLDEN_SCAN: [float(value) for value in probabilities]}
    save_model(model, folder, task=TASK, recipe=tiny_recipe(), golden=golden)
    return folder


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Settings:
    """A results store with 480 labeled scans, each of another patient, and a lenient policy."""
    add_batch(
        settings,
        "b",
        [
            Dropped(f"{name}-{number}", name, f"{name}-{number}")
            for name in NAMES
            for number in range(120)
        ],
    )
    return settings.model_copy(update={"promotion_policy": lenient_policy(tmp_path)})


@pytest.fixture
def evaluated(store: Settings, tiny_model: Path) -> EvaluatedRuns:
    """Adds evaluated runs to ``store``."""
    return EvaluatedRuns(store, tiny_model)
