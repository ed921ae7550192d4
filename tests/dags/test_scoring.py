"""Predictions of unlabeled scans, by ``dag.test()``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories.airflow import Airflow
from tumorml.objects import object_store
from tumorml.scans.ingest.put_drop import put_drop

pytestmark = pytest.mark.timeout(900)


def test_unlabeled_scans_are_scored_once(first_champion: Airflow, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    folder = tmp_path / "unlabeled"
    folder.mkdir()
    for number in range(3):
        pixels = generator.integers(0, 255, (90, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    put_drop(first_champion.settings, folder, "unlabeled")
    assert first_champion.run("ingest_scans", "unlabeled")["run"] == "success"
    for attempt in range(2):
        states = first_champion.run("score_scans", f"score-{attempt}")
        assert states["run"] == "success", states
    scored = first_champion.rows("select heatmap_key from prediction where source = 'score'")
    assert len(scored) == 3
    assert all(object_store(first_champion.settings).exists(key) for (key,) in scored)
