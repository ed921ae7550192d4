"""Comparison of a model's predictions for golden scans with the recorded ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from tumorml.models.golden_scans import compare_golden_scans
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings

if TYPE_CHECKING:
    from tumorml.models.served import Served

SCANS = ["0a" * 32, "0b" * 32]


class FakeServed:
    """Returns the same probabilities for every scan, and counts the predictions."""

    input_size = 16

    def __init__(self, *probabilities: float) -> None:
        self.probabilities = np.array([probabilities], np.float32)
        self.predictions = 0

    def predict(self, images: np.ndarray) -> np.ndarray:
        assert images.shape == (1, 16, 16)
        self.predictions += 1
        return self.probabilities


@pytest.fixture
def settings_with_scans(tmp_path: Path) -> Settings:
    """A home whose object store holds the golden scans."""
    settings = Settings(home=tmp_path)
    for level, scan in enumerate(SCANS):
        pixels = np.full((40, 40), 100 + level, np.uint8)
        object_store(settings).write(scan_key(scan), encode_png(pixels))
    return settings


def test_difference_is_the_largest_of_all_classes(settings_with_scans: Settings) -> None:
    served = FakeServed(0.5, 0.3, 0.2)
    recorded = {SCANS[0]: [0.5, 0.3, 0.2], SCANS[1]: [0.5, 0.2, 0.3]}
    store = object_store(settings_with_scans)
    answers = list(compare_golden_scans(store, cast("Served", served), recorded))
    assert [answer.scan_id for answer in answers] == SCANS
    assert [answer.difference for answer in answers] == pytest.approx([0.0, 0.1], abs=1e-6)
    assert all(answer.seconds > 0 for answer in answers)
    assert served.predictions == 3, "the first scan is predicted twice"


def test_nan_probability_gives_a_nan_difference(settings_with_scans: Settings) -> None:
    store = object_store(settings_with_scans)
    served = cast("Served", FakeServed(math.nan, 1.0))
    (answer,) = compare_golden_scans(store, served, {SCANS[0]: [0.0, 1.0]})
    assert math.isnan(answer.difference)


def test_missing_golden_scan_is_an_error(settings_with_scans: Settings) -> None:
    store = object_store(settings_with_scans)
    served = cast("Served", FakeServed(0.0, 1.0))
    with pytest.raises(FileNotFoundError):
        list(compare_golden_scans(store, served, {"0c" * 32: [0.0, 1.0]}))
