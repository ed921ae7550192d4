"""Paint a tumor into a slice as in contrast-enhanced T1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumorml.demo.head import FLUID, soft_step
from tumorml.demo.lesions import Lesion
from tumorml.demo.template import Anatomy, Floats, Points, as_broadcastable

_EDGE_MM = 0.9
_EDEMA_SIGNAL = 0.25


def displaced_points(lesion: Lesion, points: Points) -> Points:
    """Return the original position of the tissue at each point, before the tumor displaced it.

    Args:
        lesion: The tumor.
        points: Template coordinates in mm, ``(3, ...)``.

    Returns:
        Coordinates of the same shape, closer to the center; the shift is largest at the edge.
    """
    radius = np.float32(lesion.radius_mm)
    offset = points - as_broadcastable(lesion.center_mm, points)
    distance: Floats = np.sqrt((offset**2).sum(axis=0)) + np.float32(1e-3)
    pull = lesion.push_share * radius * np.exp(-np.maximum(distance - radius, 0) / (0.9 * radius))
    shift: Floats = np.minimum(pull, distance)
    return points - offset / distance * shift


def outline(
    anatomy: Anatomy, lesion: Lesion, points: Points, brain_points: Points
) -> tuple[Floats, Floats]:
    """Return the distance of each pixel from the tumor's center, and where the tumor can grow.

    Args:
        anatomy: The template.
        lesion: The tumor.
        points: Template coordinates in mm, ``(3, rows, columns)``.
        brain_points: The coordinates after `displaced_points`.

    Returns:
        ``radius``: float32, scaled so that it is 0 at the center and 1 on the irregular edge.
        ``room``: 0 to 1; 0 where this kind of tumor cannot grow (bone, across the falx).
    """
    radius = lesion.scaled_distance(points)
    near = radius < 1.8
    wobble = np.zeros_like(radius)
    wobble[near] = lesion.shape.at(points[:, near])
    radius = radius * np.exp(lesion.irregularity * np.clip(wobble, -2.2, 2.2))
    if lesion.label == "pituitary":
        return radius, np.ones_like(radius)
    meninges = anatomy.meninges.at(points)
    if lesion.label == "meningioma":
        room = soft_step(0.3 - meninges, 0.6)
        if lesion.on_falx_side:
            room = room * soft_step(lesion.on_falx_side * points[0] + 0.5, 0.8)
        return radius, room
    # A glioma grows along white matter, slowly in the cortex, and spares ventricles and sulci.
    gray, white = anatomy.gray.at(brain_points), anatomy.white.at(brain_points)
    fluid = np.clip(1 - gray - white, 0, 1)
    radius = radius * (1 + 0.25 * gray + 0.45 * fluid)
    return radius, soft_step(-1.5 - meninges, 0.8) * anatomy.brain.at(brain_points)


def paint_lesion(
    anatomy: Anatomy, lesion: Lesion, points: Points, brain_points: Points, picture: Floats
) -> Floats:
    """Return a copy of a healthy slice with the tumor painted into it.

    Args:
        anatomy: The template.
        lesion: The tumor.
        points: Template coordinates in mm, ``(3, rows, columns)``.
        brain_points: The coordinates after `displaced_points`.
        picture: Relative T1 signal, ``(rows, columns)``; it is not changed.

    Returns:
        The picture with the tumor, float32.
    """
    radius, room = outline(anatomy, lesion, points, brain_points)
    picture = _paint_edema(anatomy, lesion, radius, points, brain_points, picture)
    if lesion.label == "meningioma":
        picture = _paint_dural_tail(anatomy, lesion, points, picture)
        cleft = np.exp(-(((radius - 1) * lesion.radius_mm - 1.2) ** 2) / 1.2) * room
        picture = picture + 0.55 * cleft * (FLUID - picture)
    within = soft_step((1 - radius) * lesion.radius_mm, _EDGE_MM) * room
    texture = np.zeros_like(radius)
    near = within > 0.01
    texture[near] = lesion.texture.at(points[:, near])
    if lesion.label == "glioma":
        signal = _glioma_signal(lesion, radius, texture)
    else:
        signal = lesion.enhancement * (1 + 0.035 * texture)
        if lesion.core_share:
            core = soft_step((lesion.core_share - radius + 0.12 * texture) * lesion.radius_mm, 1.0)
            signal = signal + core * (0.30 - signal)
    return picture + within * (signal - picture)


def lesion_mask(
    anatomy: Anatomy, lesion: Lesion, points: Points, brain_points: Points
) -> NDArray[np.bool_]:
    """Return the pixels of the tumor without edema, bool ``(rows, columns)``."""
    radius, room = outline(anatomy, lesion, points, brain_points)
    return (radius < 1) & (room > 0.5)


def _glioma_signal(lesion: Lesion, radius: Floats, texture: Floats) -> Floats:
    """Return a necrotic core in an uneven enhancing ring; low grades do not enhance."""
    edge_mm = 1.3
    inner = lesion.core_share * (1 + 0.13 * texture)
    core = soft_step((inner - radius) * lesion.radius_mm, edge_mm)
    patchy = soft_step(texture + 3.2 * lesion.ring_strength - 1.3, 0.6)
    solid = 0.28 + 0.03 * texture
    ring = solid + (lesion.enhancement * (1 + 0.06 * texture) - solid) * patchy
    necrosis = 0.19 + 0.025 * texture
    return ring + core * (necrosis * patchy + solid * (1 - patchy) - ring)


def _paint_edema(
    anatomy: Anatomy,
    lesion: Lesion,
    radius: Floats,
    points: Points,
    brain_points: Points,
    picture: Floats,
) -> Floats:
    """Darken the white matter around the tumor, with a soft edge and fingers."""
    if not lesion.edema_share:
        return picture
    near = radius < 1.6 + lesion.edema_share
    fingers = np.zeros_like(radius)
    fingers[near] = lesion.shape.at(points[:, near] * 1.3)
    reach = (1 + lesion.edema_share * (1 + 0.35 * fingers) - radius) * lesion.radius_mm
    share = 0.85 * soft_step(reach, 3.0) * anatomy.white.at(brain_points)
    darkening: Floats = np.minimum(_EDEMA_SIGNAL - picture, 0)
    return picture + share * darkening


def _paint_dural_tail(anatomy: Anatomy, lesion: Lesion, points: Points, picture: Floats) -> Floats:
    """Brighten the dura beside a meningioma, fading away from its base."""
    meninges = anatomy.meninges.at(points)
    off_dura = points[0] if lesion.on_falx_side else meninges + 0.3
    along = soft_step((1.75 - lesion.scaled_distance(points)) * lesion.radius_mm, 3.0)
    on_dura: Floats = np.exp(-((off_dura / 1.2) ** 2)) * (meninges < 1.5)
    brightening: Floats = np.maximum(0.9 * lesion.enhancement - picture, 0)
    return picture + 0.85 * on_dura * along * brightening
