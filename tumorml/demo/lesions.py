"""Draw tumors: position in the template, size, shape and signal by kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tumorml.demo.fields import SmoothField
from tumorml.demo.template import Anatomy, Floats, Points, as_broadcastable

TUMOR_LABELS = ("glioma", "meningioma", "pituitary")

# Sites of skull base meningiomas (mm, MNI, right side); they are moved to the nearest dura.
_BASE_SITES_MM = (
    (4.0, 36.0, -24.0),  # olfactory groove
    (34.0, 16.0, -26.0),  # sphenoid wing
    (7.0, 22.0, -20.0),  # planum sphenoidale
    (26.0, -32.0, -38.0),  # petrous face, cerebellopontine angle
    (28.0, -64.0, -22.0),  # tentorium
)


@dataclass(frozen=True)
class Lesion:
    """One tumor in template space; `tumorml.demo.painting` paints it.

    Attributes:
        label: ``glioma``, ``meningioma`` or ``pituitary``.
        center_mm: ``(3,)`` MNI coordinates.
        semi_axes_mm: ``(3,)`` along the columns of ``frame``.
        frame: ``(3, 3)`` rotation.
        irregularity: Standard deviation of the radius, as a share of the radius.
        shape: Field that makes the outline irregular.
        texture: Field that varies the signal inside.
        enhancement: Signal of the enhancing tissue.
        core_share: Necrotic or cystic core, as a share of the radius; 0 for none.
        ring_strength: Share of the rim that enhances, from 0 (low grade) to 1.
        edema_share: Width of the edema as a share of the radius.
        push_share: Displacement of the tissue at its edge, as a share of the radius.
        on_falx_side: Side (-1 or 1) to which a falx meningioma is confined; 0 for other tumors.
    """

    label: str
    center_mm: Floats
    semi_axes_mm: Floats
    frame: Floats
    irregularity: float
    shape: SmoothField
    texture: SmoothField
    enhancement: float
    core_share: float = 0.0
    ring_strength: float = 1.0
    edema_share: float = 0.0
    push_share: float = 0.2
    on_falx_side: int = 0

    @property
    def radius_mm(self) -> float:
        """Geometric mean of the semi-axes."""
        return float(np.prod(self.semi_axes_mm) ** (1 / 3))

    def scaled_distance(self, points: Points) -> Floats:
        """Return the distance from the center in semi-axes, ``(...)``; 1 is the ellipsoid."""
        offset = points - as_broadcastable(self.center_mm, points)
        along = np.tensordot((self.frame / self.semi_axes_mm).T.astype(np.float32), offset, axes=1)
        distance: Floats = np.sqrt((along**2).sum(axis=0))
        return distance


def draw_lesion(anatomy: Anatomy, label: str, rng: np.random.Generator) -> Lesion:
    """Draw a tumor at a site that is typical of its kind.

    Args:
        anatomy: The template.
        label: One of ``TUMOR_LABELS``.
        rng: The patient's generator.
    """
    draw = {"glioma": _draw_glioma, "meningioma": _draw_meningioma, "pituitary": _draw_pituitary}
    return draw[label](anatomy, rng)


def _draw_glioma(anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
    sites = _deep_white_matter(anatomy)
    radius = rng.uniform(15, 26)
    low_grade = rng.random() < 0.12
    return Lesion(
        label="glioma",
        center_mm=sites[:, rng.integers(sites.shape[1])] + rng.uniform(-0.5, 0.5, 3),
        semi_axes_mm=radius * rng.uniform(0.75, 1.25, 3),
        frame=_random_frame(rng),
        irregularity=rng.uniform(0.14, 0.24),
        shape=SmoothField.draw(rng, 0.55 * radius),
        texture=SmoothField.draw(rng, 4.5),
        enhancement=rng.uniform(0.74, 0.98),
        core_share=rng.uniform(0.50, 0.78),
        ring_strength=rng.uniform(0.0, 0.30) if low_grade else rng.uniform(0.6, 1.0),
        edema_share=rng.uniform(0.45, 1.0),
        push_share=rng.uniform(0.05, 0.22),
    )


def _draw_meningioma(anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
    site = rng.choice(["convexity", "falx", "base"], p=[0.53, 0.33, 0.14])
    radius = rng.uniform(12, 22) if site != "base" else rng.uniform(11, 18)
    side = int(rng.choice([-1, 1]))
    depth = rng.uniform(0.35, 0.75) * radius
    if site == "falx":
        center, inward = _falx_point(anatomy, rng, side), np.array([side, 0.0, 0.0])
    else:
        surface = _dura(anatomy)
        if site == "convexity":
            chosen = surface[:, (surface[2] > 0) & (np.abs(surface[0]) > 8)]
            start = chosen[:, rng.integers(chosen.shape[1])].astype(float)
        else:
            start = np.array(_BASE_SITES_MM[rng.integers(len(_BASE_SITES_MM))])
            start = start * [side, 1, 1] + rng.normal(0, 3, 3)
        nearest = np.argmin(((surface - start[:, None]) ** 2).sum(axis=0))
        center = surface[:, nearest].astype(float)
        inward = _inward(anatomy, center)
    return Lesion(
        label="meningioma",
        center_mm=center + depth * inward,
        semi_axes_mm=radius * rng.uniform(0.88, 1.12, 3),
        frame=_random_frame(rng),
        irregularity=rng.uniform(0.025, 0.075),
        shape=SmoothField.draw(rng, 0.7 * radius),
        texture=SmoothField.draw(rng, 4.0),
        enhancement=rng.uniform(0.76, 0.98),
        core_share=rng.uniform(0.25, 0.45) if rng.random() < 0.12 else 0.0,
        edema_share=rng.uniform(0.3, 0.7) if rng.random() < 0.3 else 0.0,
        push_share=rng.uniform(0.25, 0.45),
        on_falx_side=side if site == "falx" else 0,
    )


def _draw_pituitary(anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
    radius = rng.uniform(9.0, 15.5)
    # A larger adenoma extends upwards out of the sella, below the chiasm.
    rise = max(0.0, radius - 7.0) * rng.uniform(0.3, 0.8)
    return Lesion(
        label="pituitary",
        center_mm=np.array([0.0, 3.0, -32.0 + rise]) + rng.normal(0, [1.5, 1.2, 0.8]),
        semi_axes_mm=radius * np.array([1.0, 0.9, rng.uniform(0.85, 1.25)]),
        frame=np.eye(3),
        irregularity=rng.uniform(0.03, 0.09),
        shape=SmoothField.draw(rng, 0.8 * radius),
        texture=SmoothField.draw(rng, 3.5),
        enhancement=rng.uniform(0.74, 0.95),
        core_share=rng.uniform(0.35, 0.6) if rng.random() < 0.10 else 0.0,
        push_share=rng.uniform(0.3, 0.5),
    )


def _falx_point(anatomy: Anatomy, rng: np.random.Generator, side: int) -> Floats:
    """Draw a point on the falx, in the midline between the vault and the corpus callosum."""
    while True:
        point = np.array([1.0 * side, rng.uniform(-75, 52), rng.uniform(15, 70)])
        if -26 < float(anatomy.meninges.at(point.astype(np.float32)[:, None])[0]) < -5:
            return point


def _inward(anatomy: Anatomy, point: Floats) -> Floats:
    """Return the unit normal of the dura at a point, directed into the skull."""
    steps = np.eye(3, dtype=np.float32) * 4
    ahead = anatomy.meninges.at(point[:, None].astype(np.float32) + steps)
    behind = anatomy.meninges.at(point[:, None].astype(np.float32) - steps)
    gradient = behind - ahead
    return gradient / np.linalg.norm(gradient)


def _random_frame(rng: np.random.Generator) -> Floats:
    frame, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return frame


@lru_cache(maxsize=1)
def _deep_white_matter(anatomy: Anatomy) -> Points:
    """Return the sites of gliomas: hemispheric white matter at least 12 mm below the dura."""
    points = anatomy.white.points(anatomy.white.voxels > 225)[:, ::7]
    x, y, z = points
    hemisphere = (np.abs(x) > 14) & (z > -26) & ~((y < -35) & (z < -8))
    return points[:, hemisphere & (anatomy.meninges.at(points) < -12)]


@lru_cache(maxsize=1)
def _dura(anatomy: Anatomy) -> Points:
    """Return the points of the dura on a 2 mm lattice, without its spinal end."""
    meninges = anatomy.meninges
    points = meninges.points(np.abs(meninges.voxels) < 1.0)
    return points[:, points[2] > -45]
