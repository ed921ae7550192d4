"""Synthetic slices of many patients, for the tests of twins."""

from __future__ import annotations

import pytest

from tests.factories.scan_copies import Pixels
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.labels import LABELS, Task


@pytest.fixture(scope="module")
def originals() -> dict[str, Pixels]:
    """One slice of each of 24 patients, of four labels and three planes."""
    anatomy = load_anatomy()
    return {
        f"{label}-{index}": made.image
        for label in LABELS[Task.FOUR_CLASS]
        for index in range(6)
        for made in draw_patient(anatomy, label, index, seed=7, slices=1)
    }
