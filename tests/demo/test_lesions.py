"""Tumours lie in the template where their kind grows."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.demo.lesions import TUMOUR_LABELS, Lesion, draw_lesion
from tumorml.demo.painting import lesion_mask, paint_lesion, pushed_points
from tumorml.demo.template import Anatomy, Points, load_anatomy


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return load_anatomy()


def _lesions(anatomy: Anatomy, label: str) -> list[Lesion]:
    return [draw_lesion(anatomy, label, np.random.default_rng(seed)) for seed in range(12)]


def _axial_points(lesion: Lesion) -> Points:
    """A 1 mm axial grid of 96 mm a side through the middle of a lesion."""
    x, y, z = lesion.centre_mm
    side = np.arange(-48, 48, dtype=np.float32)
    rows, columns = np.meshgrid(y + side, x + side, indexing="ij")
    return np.stack([columns, rows, np.full_like(rows, z)]).astype(np.float32)


def _mask(anatomy: Anatomy, lesion: Lesion, points: Points) -> np.ndarray:
    return lesion_mask(anatomy, lesion, points, pushed_points(lesion, points))


def test_a_glioma_starts_in_white_matter_and_stays_in_the_brain(anatomy: Anatomy) -> None:
    white_shares = []
    for lesion in _lesions(anatomy, "glioma"):
        points = _axial_points(lesion)
        mask = _mask(anatomy, lesion, points)
        assert anatomy.white.at(lesion.centre_mm[:, None].astype(np.float32))[0] > 0.6
        assert anatomy.meninges.at(points)[mask].max() < 0
        white_shares.append(anatomy.white.at(points)[mask].mean())
    assert np.mean(white_shares) > 0.6


def test_a_meningioma_touches_the_dura_and_does_not_cross_it(anatomy: Anatomy) -> None:
    for lesion in _lesions(anatomy, "meningioma"):
        points = _axial_points(lesion)
        mask = _mask(anatomy, lesion, points)
        assert anatomy.meninges.at(points)[mask].max() < 1.5
        if lesion.on_falx_side:
            across = lesion.on_falx_side * points[0][mask]
            assert -2 < across.min() < 4
        else:
            depth = -anatomy.meninges.at(lesion.centre_mm[:, None].astype(np.float32))[0]
            assert depth < lesion.radius_mm


def test_a_pituitary_tumour_lies_in_the_midline_at_the_sella(anatomy: Anatomy) -> None:
    for lesion in _lesions(anatomy, "pituitary"):
        x, y, z = lesion.centre_mm
        assert abs(x) < 6
        assert abs(y - 3) < 6
        assert -36 < z < -22
        lowest = z - lesion.semi_axes_mm[2]
        assert lowest < -32


@pytest.mark.parametrize("label", TUMOUR_LABELS)
def test_painting_changes_the_lesion_and_leaves_the_far_side_alone(
    anatomy: Anatomy, label: str
) -> None:
    lesion = _lesions(anatomy, label)[0]
    points = _axial_points(lesion)
    flat = np.full(points.shape[1:], 0.5, np.float32)
    painted = paint_lesion(anatomy, lesion, points, pushed_points(lesion, points), flat)
    far = np.hypot(*(points[:2] - lesion.centre_mm[:2, None, None])) > 3.5 * lesion.radius_mm
    assert np.abs(painted - flat)[_mask(anatomy, lesion, points)].mean() > 0.1
    assert np.abs(painted - flat)[far].max(initial=0.0) < 0.02


def test_a_tumour_pushes_tissue_outwards_and_most_at_its_edge(anatomy: Anatomy) -> None:
    lesion = _lesions(anatomy, "meningioma")[0]
    direction = np.array([1.0, 0.0, 0.0])
    steps = np.array([1.0, 1.5, 2.5, 4.0]) * lesion.radius_mm
    points = (lesion.centre_mm[:, None] + direction[:, None] * steps).astype(np.float32)
    moved = np.linalg.norm(points - pushed_points(lesion, points), axis=0)
    assert np.all(np.diff(moved) < 0)
    assert moved[0] == pytest.approx(lesion.push_share * lesion.radius_mm, rel=0.02)
