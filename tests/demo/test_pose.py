"""The head in the scanner, its slices, and the scanner's noise."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.demo.appearance import Acquisition, acquire
from tumorml.demo.pose import SIDE_PIXELS, Plane, Pose


@pytest.mark.parametrize("seed", range(4))
def test_to_scanner_inverts_to_template(seed: int) -> None:
    pose = Pose.draw(np.random.default_rng(seed))
    point = np.array([20.0, -40.0, 25.0])
    in_scanner = pose.to_scanner(point)
    assert np.abs(in_scanner - point).max() > 1
    np.testing.assert_allclose(pose.to_template(in_scanner[:, None])[:, 0], point, atol=0.1)


def test_slices_have_radiological_orientation() -> None:
    pose = Pose.draw(np.random.default_rng(0))
    axial = pose.slice_points(Plane.AXIAL, 0.0)
    sagittal = pose.slice_points(Plane.SAGITTAL, 0.0)
    last = SIDE_PIXELS - 1
    assert axial.shape == (3, SIDE_PIXELS, SIDE_PIXELS)
    assert axial.dtype == np.float32
    assert axial[0, 112, 0] > 60 > -60 > axial[0, 112, last]  # the patient's right is on the left
    assert axial[1, 0, 112] > 60 > -60 > axial[1, last, 112]  # the face is at the top
    assert sagittal[2, 0, 112] > 60 > -60 > sagittal[2, last, 112]  # the vault is at the top
    assert sagittal[1, 112, 0] > 60 > -60 > sagittal[1, 112, last]  # the face is on the left


def test_background_is_positive_noise() -> None:
    rng = np.random.default_rng(0)
    picture = np.zeros((64, 64))
    picture[16:48, 16:48] = 0.5
    image = acquire(picture, Acquisition(0.03, 0.5, 1.0, 0.1, 0.99), rng)
    corner = image[:12, :12]
    assert image.dtype == np.uint8
    assert corner.std() > 2
    assert 0 < corner.mean() < 0.2 * image[20:44, 20:44].mean()
