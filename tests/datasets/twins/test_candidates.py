from __future__ import annotations

import numpy as np
import pytest

from tumorml.datasets.twins.candidates import INVERSE_ORIENTATIONS
from tumorml.scans.images.fingerprint import oriented


@pytest.mark.parametrize("orientation", range(8))
def test_inverse_orientation_restores_the_picture(orientation: int) -> None:
    picture = np.arange(12).reshape(3, 4)
    inverse = INVERSE_ORIENTATIONS[orientation]
    assert np.array_equal(oriented(oriented(picture, orientation), inverse), picture)
    assert np.array_equal(oriented(oriented(picture, inverse), orientation), picture)
