"""Drawing a tumour into a slice, as contrast-enhanced T1 shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumorml.demo.head import FLUID, soft_step
from tumorml.demo.lesions import Lesion
from tumorml.demo.template import Anatomy, Floats, Points, beside

_EDGE_MM = 0.9
_OEDEMA_SIGNAL = 0.25


def pushed_points(lesion: Lesion, points: Points) -> Points:
    """Where the brain that now lies at each point came from, before the tumour pushed it.

    Args:
        lesion: The tumour.
        points: Template coordinates in mm, ``(3, ...)``.

    Returns:
        Coordinates of the same shape: drawn towards the centre, most at the tumour's edge.
    """
    radius = np.float32(lesion.radius_mm)
    offset = points - beside(lesion.centre_mm, points)
    distance: Floats = np.sqrt((offset**2).sum(axis=0)) + np.float32(1e-3)
    pull = lesion.push_share * radius * np.exp(-np.maximum(distance - radius, 0) / (0.9 * radius))
    shift: Floats = np.minimum(pull, distance)
    return points - offset / distance * shift


def outline(
    anatomy: Anatomy, lesion: Lesion, points: Points, brain_points: Points
) -> tuple[Floats, Floats]:
    """How far each pixel is from a tumour's edge, and how much of it the tumour may fill.

    Args:
        anatomy: The template.
        lesion: The tumour.
        points: Template coordinates in mm, ``(3, rows, columns)``.
        brain_points: The coordinates after ``pushed_points``.

    Returns:
        ``radius``: scaled distance, 0 in the centre and 1 on the irregular edge, float32.
        ``room``: 0..1; 0 where this kind of tumour cannot grow (bone, across the falx).
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
    # A glioma grows along white matter, is slow in the cortex, and spares ventricles and sulci.
    grey, white = anatomy.grey.at(brain_points), anatomy.white.at(brain_points)
    fluid = np.clip(1 - grey - white, 0, 1)
    radius = radius * (1 + 0.25 * grey + 0.45 * fluid)
    return radius, soft_step(-1.5 - meninges, 0.8) * anatomy.brain.at(brain_points)


def paint_lesion(
    anatomy: Anatomy, lesion: Lesion, points: Points, brain_points: Points, picture: Floats
) -> Floats:
    """A healthy slice with the tumour drawn into it.

    Args:
        anatomy: The template.
        lesion: The tumour.
        points: Template coordinates in mm, ``(3, rows, columns)``.
        brain_points: The coordinates after ``pushed_points``.
        picture: Relative T1 signal, ``(rows, columns)``; left as it is.

    Returns:
        The picture with the tumour, float32.
    """
    radius, room = outline(anatomy, lesion, points, brain_points)
    picture = _paint_oedema(anatomy, lesion, radius, points, brain_points, picture)
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
    """The pixels that the tumour fills, oedema left out; bool ``(rows, columns)``."""
    radius, room = outline(anatomy, lesion, points, brain_points)
    return (radius < 1) & (room > 0.5)


def _glioma_signal(lesion: Lesion, radius: Floats, texture: Floats) -> Floats:
    """Necrotic core, then an uneven enhancing ring; in a low grade, dull tissue throughout."""
    edge_mm = 1.3
    inner = lesion.core_share * (1 + 0.13 * texture)
    core = soft_step((inner - radius) * lesion.radius_mm, edge_mm)
    patchy = soft_step(texture + 3.2 * lesion.ring_strength - 1.3, 0.6)
    solid = 0.28 + 0.03 * texture
    ring = solid + (lesion.enhancement * (1 + 0.06 * texture) - solid) * patchy
    necrosis = 0.19 + 0.025 * texture
    return ring + core * (necrosis * patchy + solid * (1 - patchy) - ring)


def _paint_oedema(
    anatomy: Anatomy,
    lesion: Lesion,
    radius: Floats,
    points: Points,
    brain_points: Points,
    picture: Floats,
) -> Floats:
    """Swollen white matter around the tumour: darker, with a soft edge and fingers."""
    if not lesion.oedema_share:
        return picture
    near = radius < 1.6 + lesion.oedema_share
    fingers = np.zeros_like(radius)
    fingers[near] = lesion.shape.at(points[:, near] * 1.3)
    reach = (1 + lesion.oedema_share * (1 + 0.35 * fingers) - radius) * lesion.radius_mm
    share = 0.85 * soft_step(reach, 3.0) * anatomy.white.at(brain_points)
    darkening: Floats = np.minimum(_OEDEMA_SIGNAL - picture, 0)
    return picture + share * darkening


def _paint_dural_tail(anatomy: Anatomy, lesion: Lesion, points: Points, picture: Floats) -> Floats:
    """The dura beside a meningioma enhances and thins out from its base."""
    meninges = anatomy.meninges.at(points)
    off_dura = points[0] if lesion.on_falx_side else meninges + 0.3
    along = soft_step((1.75 - lesion.scaled_distance(points)) * lesion.radius_mm, 3.0)
    on_dura: Floats = np.exp(-((off_dura / 1.2) ** 2)) * (meninges < 1.5)
    brightening: Floats = np.maximum(0.9 * lesion.enhancement - picture, 0)
    return picture + 0.85 * on_dura * along * brightening
