"""Tumors are at sites that are typical of their kind."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.demo.lesions import TUMOR_LABELS, Lesion, draw_lesion
from tumorml.demo.painting import displaced_points, lesion_mask, paint_lesion
from tumorml.demo.template import Anatomy, Points, load_anatomy


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return load_anatomy()


def _lesions(anatomy: Anatomy, label: str) -> list[Lesion]:
    return [draw_lesion(anatomy, label, np.random.default_rng(seed)) for seed in range(12)]


def _axial_points(lesion: Lesion) -> Points:
    """An axial grid of 1 mm spacing and 96 mm side through the center of a lesion."""
    x, y, z = lesion.center_mm
    side = np.arange(-48, 48, dtype=np.float32)
    rows, columns = np.meshgrid(y + side, x + side, indexing="ij")
    return np.stack([columns, rows, np.full_like(rows, z)]).astype(np.float32)


def _mask(anatomy: Anatomy, lesion: Lesion, points: Points) -> np.ndarray:
    return lesion_mask(anatomy, lesion, points, displaced_points(lesion, points))


def test_glioma_starts_in_white_matter_and_stays_in_the_brain(anatomy: Anatomy) -> None:
    white_shares = []
    for lesion in _lesions(anatomy, "glioma"):
        points = _axial_points(lesion)
        mask = _mask(anatomy, lesion, points)
        assert anatomy.white.at(lesion.center_mm[:, None].astype(np.float32))[0] > 0.6
        assert anatomy.meninges.at(points)[mask].max() < 0
        white_shares.append(anatomy.white.at(points)[mask].mean())
    assert np.mean(white_shares) > 0.6


def test_meningioma_touches_the_dura_without_crossing_it(anatomy: Anatomy) -> None:
    for lesion in _lesions(anatomy, "meningioma"):
        points = _axial_points(lesion)
        mask = _mask(anatomy, lesion, points)
        assert anatomy.meninges.at(points)[mask].max() < 1.5
        if lesion.on_falx_side:
            across = lesion.on_falx_side * points[0][mask]
            assert -2 < across.min() < 4
        else:
            depth = -anatomy.meninges.at(lesion.center_mm[:, None].astype(np.float32))[0]
            assert depth < lesion.radius_mm


def test_pituitary_tumor_is_in_the_midline_at_the_sella(anatomy: Anatomy) -> None:
    for lesion in _lesions(anatomy, "pituitary"):
        x, y, z = lesion.center_mm
        assert abs(x) < 6
        assert abs(y - 3) < 6
        assert -36 < z < -22
        lowest = z - lesion.semi_axes_mm[2]
        assert lowest < -32


@pytest.mark.parametrize("label", TUMOR_LABELS)
def test_painting_changes_only_the_lesion_and_its_surroundings(
    anatomy: Anatomy, label: str
) -> None:
    lesion = _lesions(anatomy, label)[0]
    points = _axial_points(lesion)
    flat = np.full(points.shape[1:], 0.5, np.float32)
    painted = paint_lesion(anatomy, lesion, points, displaced_points(lesion, points), flat)
    far = np.hypot(*(points[:2] - lesion.center_mm[:2, None, None])) > 3.5 * lesion.radius_mm
    assert np.abs(painted - flat)[_mask(anatomy, lesion, points)].mean() > 0.1
    assert np.abs(painted - flat)[far].max(initial=0.0) < 0.02


def test_displacement_is_largest_at_the_edge(anatomy: Anatomy) -> None:
    lesion = _lesions(anatomy, "meningioma")[0]
    direction = np.array([1.0, 0.0, 0.0])
    steps = np.array([1.0, 1.5, 2.5, 4.0]) * lesion.radius_mm
    points = (lesion.center_mm[:, None] + direction[:, None] * steps).astype(np.float32)
    moved = np.linalg.norm(points - displaced_points(lesion, points), axis=0)
    assert np.all(np.diff(moved) < 0)
    assert moved[0] == pytest.approx(lesion.push_share * lesion.radius_mm, rel=0.02)
