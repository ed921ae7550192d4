"""A results store with test scans, and evaluated runs on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories.blobs import tiny_recipe
from tests.factories.rows import Dropped, add_batch
from tests.factories.runs import GOLDEN_SCAN, NAMES, TASK, evaluated_run, forgiving
from tumorml.datasets.resize import fit_to_square
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small stored model, a golden scan, and what the model answers about it."""
    from tumorml.models.artifact import save_model
    from tumorml.models.predictor import Predictor
    from tumorml.recipes.networks import build_network

    folder = tmp_path_factory.mktemp("model")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "golden.png")
    model = build_network(tiny_recipe(), len(NAMES), seed=1)
    answered = Predictor(model, TASK).predict(fit_to_square(pixels, 32)[None])[0]
    golden = {GOLDEN_SCAN: [float(value) for value in answered]}
    save_model(model, folder, task=TASK, recipe=tiny_recipe(), golden=golden)
    return folder


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Settings:
    """A results store with many labelled scans, each a patient of its own."""
    add_batch(
        settings, "b", [Dropped(f"{n}-{i}", n, f"{n}-{i}") for n in NAMES for i in range(120)]
    )
    return settings.model_copy(update={"promotion_policy": forgiving(tmp_path)})


@dataclass(frozen=True)
class Evaluated:
    """Makes evaluated runs of models ``m-<name>`` and returns their ids."""

    store: Settings
    model_folder: Path

    def __call__(
        self,
        name: str,
        error: float,
        against: dict[str, float] | None = None,
        *,
        given_split: bool = False,
        input_size: int = 32,
    ) -> str:
        """``error``: its share of wrong answers; ``against``: those of the models beside it."""
        return evaluated_run(
            self.store,
            name,
            {f"m-{name}": error, **(against or {})},
            model_folder=self.model_folder,
            given_split=given_split,
            input_size=input_size,
        )


@pytest.fixture
def evaluated(store: Settings, tiny_model: Path) -> Evaluated:
    """Evaluated runs in ``store``."""
    return Evaluated(store, tiny_model)
