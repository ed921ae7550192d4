"""Paint a healthy head: brain, fluid, skull, scalp, face, and normally enhancing tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tumorml.demo.fields import SmoothField
from tumorml.demo.template import Anatomy, Floats, Points

FLUID, BONE, MARROW, MUSCLE, FAT, AIR = 0.13, 0.05, 0.34, 0.36, 0.80, 0.03
"""Relative T1 signals; enhanced tissue has about 0.9 and air nearly 0."""

# Distance outside the dura in mm, and the signal there: dura, inner table, diploe, outer table.
_SKULL_MM = (0.0, 0.7, 1.6, 2.8, 3.6, 4.8, 5.8, 7.0)
_SKULL_SIGNAL = (FLUID, 0.30, BONE, BONE, MARROW, MARROW, BONE, BONE)
# Depth under the skin in mm, and the signal there: skin, fat, muscle.
_SOFT_MM = (0.0, 1.5, 2.5, 5.0, 8.0)
_SOFT_SIGNAL = (0.45, 0.45, FAT, FAT, MUSCLE)

_Triple = tuple[float, float, float]

# Center and semi-axes in mm (MNI), signal.
_BENEATH_BRAIN: tuple[tuple[_Triple, _Triple, float], ...] = (
    ((0, -16, -44), (9, 7, 15), 0.50),  # clivus, marrow
    ((0, 20, -44), (14, 13, 10), AIR),  # sphenoid sinus
    ((0, 50, -42), (11, 22, 16), 0.10),  # nasal cavity
    ((31, 44, -62), (13, 15, 15), AIR),  # maxillary sinuses
    ((-31, 44, -62), (13, 15, 15), AIR),
    ((0, 76, -8), (13, 5, 8), AIR),  # frontal sinus
    ((31, 52, -34), (18, 24, 16), 0.62),  # orbits
    ((-31, 52, -34), (18, 24, 16), 0.62),
    ((31, 62, -34), (12, 12, 12), 0.16),  # eyes
    ((-31, 62, -34), (12, 12, 12), 0.16),
    ((0, -50, -100), (10, 10, 38), FLUID),  # spinal canal
    ((0, -50, -100), (6, 6, 40), 0.50),  # cord
    ((0, 45, -88), (22, 26, 10), 0.40),  # tongue
    ((46, -28, -40), (8, 12, 9), BONE),  # petrous and mastoid bone
    ((-46, -28, -40), (8, 12, 9), BONE),
)
_SELLA: tuple[tuple[_Triple, _Triple, float], ...] = (
    ((0, 3, -31), (14, 9, 7), 0.22),  # sella and the cistern above it
    ((12, 3, -33), (4, 9, 6), 0.62),  # cavernous sinuses
    ((-12, 3, -33), (4, 9, 6), 0.62),
    ((13, 6, -33), (2.3, 5, 2.3), AIR),  # carotid flow voids
    ((-13, 6, -33), (2.3, 5, 2.3), AIR),
    ((0, 2, -23), (1.2, 1.2, 7), 0.70),  # stalk
    ((0, 3, -33.5), (5.5, 4.2, 3.0), 0.66),  # gland
)


@dataclass(frozen=True)
class HeadTraits:
    """Differences of healthy tissue between patients.

    Attributes:
        skull_thickness: Factor for the thickness of the skull, about 1.
        enhancement: Factor for the enhancement of vessels, dura and gland, about 1.
        grain: Fine structure of the brain.
        flesh: Coarse structure of muscle, fat and bone.
    """

    skull_thickness: float
    enhancement: float
    grain: SmoothField
    flesh: SmoothField

    @classmethod
    def draw(cls, rng: np.random.Generator) -> HeadTraits:
        """Draw the traits of one patient."""
        return cls(
            skull_thickness=float(rng.uniform(0.8, 1.12)),
            enhancement=float(rng.uniform(0.85, 1.15)),
            grain=SmoothField.draw(rng, 4.5),
            flesh=SmoothField.draw(rng, 8.0),
        )


def paint_head(
    anatomy: Anatomy, traits: HeadTraits, points: Points, brain_points: Points
) -> Floats:
    """Return the relative T1 signal of a healthy head, float32 ``(rows, columns)``, 0 to about 1.

    Args:
        anatomy: The template.
        traits: The patient's own healthy tissue.
        points: Template coordinates in mm of every pixel, ``(3, rows, columns)``.
        brain_points: The same for the brain, which a tumor may have displaced.
    """
    meninges = anatomy.meninges.at(points)
    flesh = traits.flesh.at(points)
    picture = _paint_shell(anatomy, traits, points, meninges, flesh)
    for center, semi_axes, signal in _BENEATH_BRAIN:
        _paint_ellipsoid(picture, points, center, semi_axes, signal * (1 + 0.10 * flesh))

    share = anatomy.brain.at(brain_points)
    brain = anatomy.signal.at(brain_points) / np.maximum(share, 0.05)
    brain *= 1 + 0.028 * traits.grain.at(brain_points)
    share *= soft_step(1.0 - meninges, 0.5)
    picture = picture * (1 - share) + brain * share

    for center, semi_axes, signal in _SELLA:
        _paint_ellipsoid(picture, points, center, semi_axes, signal * traits.enhancement)
    _paint_sinus(picture, points, meninges, 0.78 * traits.enhancement)
    return np.clip(picture, 0, None)


def soft_step(distance_mm: Floats, width_mm: float) -> Floats:
    """Return a smooth step of the distance: 0 well below zero, 1 well above."""
    step: Floats = np.tanh(distance_mm / np.float32(width_mm))
    return 0.5 + 0.5 * step


def _paint_shell(
    anatomy: Anatomy,
    traits: HeadTraits,
    points: Points,
    meninges: Floats,
    flesh: Floats,
) -> Floats:
    depth = -anatomy.skin.at(points)
    soft = np.interp(depth, _SOFT_MM, _SOFT_SIGNAL) * (1 + 0.13 * flesh)
    outside_dura = meninges / traits.skull_thickness + 0.35 * flesh * (meninges > 2)
    skull = np.interp(outside_dura, _SKULL_MM, _SKULL_SIGNAL)
    soft_share = soft_step(outside_dura - 7.0, 0.7)
    shell = skull * (1 - soft_share) + soft * soft_share
    return (shell * soft_step(depth, 0.6)).astype(np.float32)


def _paint_ellipsoid(
    picture: Floats,
    points: Points,
    center: _Triple,
    semi_axes: _Triple,
    signal: Floats | float,
) -> None:
    scaled = [(axis - mm) / semi for axis, mm, semi in zip(points, center, semi_axes, strict=True)]
    squared = scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2
    if squared.min() > 2.0:
        return
    share = soft_step((1 - np.sqrt(squared)) * min(semi_axes), 0.7)
    picture += share * (signal - picture)


def _paint_sinus(picture: Floats, points: Points, meninges: Floats, signal: float) -> None:
    """Paint the superior sagittal sinus, in the midline under the vault."""
    x, y, z = points
    squared = (x / 3.8) ** 2 + ((meninges + 0.5) / 3.0) ** 2
    along = soft_step(np.maximum(z - 8, -55 - y), 4.0) * soft_step(z + 12, 4.0)
    share = soft_step(1 - np.sqrt(squared), 0.25) * along
    picture += share * (signal - picture)
